"""Settings of a sweep: methods × hyperparameters × seeds of one environment, and the resulting runs."""

import dataclasses
import itertools
import json
import math
import shlex
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from fpo_jax.errors import InputError, require_known
from fpo_jax.experiments.core.declared import as_written, option
from fpo_jax.experiments.core.env_files import env_options, origin, without_origin
from fpo_jax.experiments.core.settings import General, Names, Settings, hyperparameters, resolve
from fpo_jax.hyperparameters import allowed_values

RESERVED = ("axes", "cell", "command", "diverged_at", "file", "objective", "optimum", "own", "seed", "step")
"""Names that results already use, so that no axis can have them."""
MOST_POINTS = 100_000
"""Maximum points of a grid, and maximum values of an axis; each is checked before anything runs."""
ENTRIES = 50
"""A run of a sweep records at least this many entries, unless told otherwise or too short."""
DEFAULTS = {"precision": "float32", "record": "outcome"}
"""Defaults of a sweep, for speed, that differ from those of a run."""
RANGE = "low:high:count or low:high:count:log"
VALUES = f"values separated by commas, or {RANGE}"


@dataclasses.dataclass(frozen=True)
class Grid(General):
    """A sweep's settings, made by `make_grid`; every cell has the same seeds.

    Attributes:
        environment: its name.
        objective: names of the methods, the first axis.
        grid: values of each varied hyperparameter, one axis each. A method that lacks one of them runs once,
        for all of its values. follower, differentiator, feedback, member: as for a run.
        every: iterations from one entry to the next.
    """

    environment: str
    objective: tuple[str, ...]
    grid: Mapping[str, tuple[Any, ...]]
    follower: str
    differentiator: str
    feedback: str
    member: str | None
    every: int

    @property
    def axes(self) -> dict[str, list[Any]]:
        """Return the axes of the grid, in order, with their values."""
        return {"objective": list(self.objective), **{name: list(v) for name, v in self.grid.items()}}

    @cached_property
    def points(self) -> list[Settings]:
        """Return the settings of every point of the grid, the last axis varying fastest."""
        general, points = super().as_dict(), []
        for objective, *values in itertools.product(*self.axes.values()):
            varied = zip(self.grid, values, strict=True)
            own = {name: value for name, value in varied if name in self.own[objective]}
            points.append(resolve({**self._names(objective).as_dict(), **general, **own}))
        return points

    @cached_property
    def index(self) -> np.ndarray:
        """Return the number of the distinct cell for each point, in the shape of the grid."""
        numbers: dict[str, int] = {}
        flat = [numbers.setdefault(json.dumps(s.as_dict()), len(numbers)) for s in self.points]
        return np.array(flat).reshape([len(values) for values in self.axes.values()])

    @cached_property
    def own(self) -> dict[str, tuple[str, ...]]:
        """Return the varied hyperparameters of each method, by its name."""
        known = {objective: hyperparameters(self._names(objective)) for objective in self.objective}
        return {o: tuple(name for name in self.grid if name in known[o]) for o in self.objective}

    def _names(self, objective: str) -> Names:
        chosen = {name: getattr(self, name) for name in Names.known()}
        return Names(**chosen | {"objective": objective})

    @property
    def cells(self) -> list[Settings]:
        """Return the settings of the distinct cells, which are run."""
        _, first = np.unique(self.index, return_index=True)
        return [self.points[i] for i in first]

    def as_dict(self) -> dict[str, Any]:
        """Return all settings, the contents of `config.json`."""
        grid = {name: list(values) for name, values in self.grid.items()}
        parts = ("follower", "differentiator", "feedback", *(["member"] if self.member else []))
        names = {name: getattr(self, name) for name in parts}
        own = {"environment": self.environment, "objective": list(self.objective), "grid": grid, **names}
        return own | super().as_dict() | {"every": self.every} | origin(self.environment)

    def command(self) -> str:
        """Return the command that repeats this sweep."""
        own = ("environment", "objective", "grid")
        chosen, member = (*own, "follower", "feedback", "member"), (*own[:2], "follower")
        recipe, usual, of_member = (
            make_grid({n: getattr(self, n) for n in given}) for given in (own[:2], chosen, member)
        )
        words = ["fpo-jax sweep", self.environment, *env_options(self.environment)]
        words += [f"--objective {','.join(self.objective)}"]
        words += [f"--grid {shlex.quote(f'{name}={_written(values)}')}" for name, values in self.grid.items()]
        for part, before in (("follower", recipe), ("feedback", recipe), ("member", of_member)):
            words += [f"--{part} {getattr(self, part)}"] * (getattr(self, part) != getattr(before, part))
        others = usual.as_dict()
        words += [option(name, value) for name, value in self.as_dict().items() if value != others[name]]
        return " ".join(words)


def make_grid(wishes: Mapping[str, Any]) -> Grid:
    """Complete a user's settings, names to values, such as the contents of a sweep's `config.json`.

    The values of an axis may be a list, or text as on the command line.

    Raises:
        InputError: names what is unknown (with the nearest known name), empty, given twice or out of range.
    """
    wishes = without_origin(wishes)
    for name in wishes:
        require_known("setting", name, [field.name for field in dataclasses.fields(Grid)])
    told = {name: value for name, value in wishes.items() if value is not None}
    given = {"objective": "myopic", "grid": {}, "differentiator": "autodiff", **DEFAULTS, **told}
    objectives, axes = given["objective"], given["grid"]
    if isinstance(objectives, str):
        objectives = [name.strip() for name in objectives.split(",") if name.strip()]
    if not isinstance(objectives, list | tuple) or not all(isinstance(name, str) for name in objectives):
        raise InputError("objective", objectives, "names, separated by commas or in a list")
    if not objectives:
        raise InputError("objective", "nothing", "one or more names")
    if not isinstance(axes, Mapping):
        raise InputError("grid", axes, f"an object of names and {VALUES}")
    every = given.pop("every", None)
    chosen = {name: given.get(name) for name in Names.known()}
    names = [Names.of(chosen | {"objective": objective}) for objective in objectives]
    fields = {name: field for n in names for name, (field, _) in hyperparameters(n).items()}
    grid = {n: _values(n, v, fields[require_known("grid", n, fields)]) for n, v in axes.items()}
    for name in set(RESERVED).intersection(grid):
        raise InputError("grid", name, "another name, because results already use this one")
    for name, values in {"objective": objectives, **grid}.items():
        if any(value is None for value in values):
            raise InputError(f"grid {name}", "null", VALUES)
        twice = [value for i, value in enumerate(values) if value in values[:i]]
        if twice:
            raise InputError(f"grid {name}", f"{twice[0]} twice", "each value once")
        if not values:
            raise InputError(f"grid {name}", "nothing", VALUES)
    points = math.prod([len(objectives), *map(len, grid.values())])
    if points > MOST_POINTS:
        raise InputError("grid", f"{points} points", f"at most {MOST_POINTS} points")
    usual = resolve({name: given.get(name) for name in ("environment", "follower", "feedback", "member")})
    given |= {name: getattr(usual.names, name) for name in ("follower", "feedback", "member")}
    given |= {"objective": tuple(objectives), "grid": grid}
    given = {"steps": usual.steps, "every": 1, **given}
    made = Grid(**given)
    steps = made.points[0].steps  # resolving the points checks every cell
    if every is not None and (type(every) is not int or every < 1 or steps % every):
        raise InputError("every", every, f"an integer >= 1 that divides the {steps} iterations")
    if every is None:
        every = between_entries(steps)
    return dataclasses.replace(made, every=every)


def between_entries(steps: int) -> int:
    """Return the iterations between entries that give a run `ENTRIES` or more, if possible."""
    return max(d for d in divisors(steps) if d == 1 or steps // d >= ENTRIES)


def divisors(number: int) -> list[int]:
    """Return the divisors of a number, in order."""
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


def _values(name: str, given: Any, field: dataclasses.Field) -> tuple[Any, ...]:
    """Read the values of one axis: a list, or text such as `0,0.1`, `0.1:1:10` or `0.001:1:4:log`.

    Raises:
        InputError: says what is wrong with it.
    """
    kind = field.metadata["kind"]
    if not isinstance(given, str):
        return tuple(given) if isinstance(given, list | tuple) else (given,)
    if ":" in given and kind in (float, int):
        return _range(name, given, kind)
    words = [word.strip() for word in given.split(",")]
    if given.strip() and not all(words):
        raise InputError(f"grid {name}", given, "values separated by commas, none of them empty")
    try:
        if kind is bool:
            return tuple({"true": True, "false": False}[word.lower()] for word in words if word)
        return tuple(as_written(field, kind(word)) for word in words if word)
    except (ValueError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"grid {name}", given, f"{VALUES}, each {allowed_values(field)}") from error


def _range(name: str, given: str, kind: type) -> tuple[Any, ...]:
    """Read `low:high:count` or `low:high:count:log`."""
    field = f"grid {name}"
    try:
        low_word, high_word, count_word, *spacing = (word.strip() for word in given.split(":"))
        low, high, count = float(low_word), float(high_word), int(count_word)
    except ValueError as error:
        raise InputError(field, given, RANGE) from error
    if spacing not in ([], ["log"]) or not math.isfinite(high - low):
        raise InputError(field, given, RANGE)
    if not 2 <= count <= MOST_POINTS:
        allowed = f"{RANGE}, with a count >= 2, because both ends are included, and <= {MOST_POINTS}"
        raise InputError(field, given, allowed)
    if spacing and min(low, high) <= 0:
        raise InputError(
            field, given, "low:high:count:log with a low > 0, because its values have equal ratios"
        )
    space = np.geomspace if spacing else np.linspace
    # twelve digits: 0.3, not 0.30000000000000004
    places = [float(f"{x:.12g}") for x in space(low, high, count)]
    return tuple(places) if kind is float else tuple(dict.fromkeys(round(x) for x in places))


def _written(values: tuple[Any, ...]) -> str:
    """Write the values of one axis as a user would, as a range if they form one."""
    if len(values) > 3 and all(isinstance(value, float) for value in values):
        for spacing in ("", ":log"):
            text = f"{values[0]:g}:{values[-1]:g}:{len(values)}{spacing}"
            if (spacing == "" or values[0] > 0) and _range("", text, float) == values:
                return text
    return ",".join(map(str, values))
