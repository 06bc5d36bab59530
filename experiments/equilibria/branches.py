"""Branches of equilibria along one hyperparameter, on the first instance."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fpo_jax.continuation import Branch, continued
from fpo_jax.engine.initial import seed_keys
from fpo_jax.equilibria import equilibrium
from fpo_jax.errors import InputError, require_known
from fpo_jax.experiments.core.progress import Tell, silent
from fpo_jax.experiments.core.settings import Settings, hyperparameters, in_precision, parts
from fpo_jax.experiments.equilibria.ideals import distance
from fpo_jax.experiments.equilibria.result import MEASURES, Equilibria
from fpo_jax.hyperparameters import declared
from fpo_jax.numerics.keys import named_key
from fpo_jax.path import Family
from fpo_jax.stationary import NoEquilibrium
from fpo_jax.types import Game, Key, Scalar, Theta

RANGE = "NAME=LOW:HIGH:POINTS, such as alpha=0.02:1:50"
MOST_POINTS = 10_000
SAME = 1e-5
"""Two equilibria at one value belong to the same branch if they are closer than this."""


class Vary(NamedTuple):
    """A hyperparameter to vary.

    Attributes:
        name: its flat name.
        low, high: ends of its range, both finite.
        points: number of points on a branch along which only the hyperparameter changes, in
            [2, `MOST_POINTS`]. Branches have more where the policy changes as well.
    """

    name: str
    low: float
    high: float
    points: int


class Branches(NamedTuple):
    """The branches found along one hyperparameter.

    Attributes:
        seed: the seed of the instance.
        vary: the hyperparameter and its range.
        followed: the branches by objective, without duplicates.
        reasons: for each start that led to no branch, one line with the reason.
    """

    seed: int
    vary: Vary
    followed: dict[str, list[Branch]]
    reasons: list[str]

    @property
    def name(self) -> str:
        """Return the name of the hyperparameter."""
        return self.vary.name


def vary_of(written: str, methods: Sequence[Settings]) -> Vary:
    """Read `NAME=LOW:HIGH:POINTS`.

    Args:
        written: the text.
        methods: settings of each objective. All must have the hyperparameter and allow both ends.

    Raises:
        InputError: when the text has another form, the range is empty or not finite, the number of points is
            out of range, or the hyperparameter is unknown or not a real number.
    """
    spelled, _, ends = written.partition("=")
    name = spelled.strip().replace("-", "_")
    try:
        low_word, high_word, points_word = ends.split(":")
        low, high, points = float(low_word), float(high_word), int(points_word)
    except ValueError as error:
        raise InputError("vary", written, RANGE) from error
    if not -np.inf < low < high < np.inf or not 2 <= points <= MOST_POINTS:
        allowed = f"{RANGE}: LOW < HIGH, both finite, POINTS in [2, {MOST_POINTS}]"
        raise InputError("vary", written, allowed)
    for method in methods:
        fields = {n: field for n, (field, _) in hyperparameters(method.names).items()}
        real = [n for n, field in fields.items() if field.metadata["kind"] is float]
        if name in fields and name not in real:
            raise InputError("vary", name, f"a real number, one of {', '.join(real)}")
        require_known("vary", name, real)
        for end in (low, high):
            _at(method, name, end).build()
    return Vary(name, low, high, points)


def _at(settings: Settings, name: str, value: Any) -> Settings:
    return dataclasses.replace(settings, values=settings.values | {name: value})


def follow(vary: Vary, methods: Sequence[Settings], found: Equilibria, tell: Tell = silent) -> Branches:
    """Follow every branch that a start leads to at either end of the range, each of them once.

    Args:
        vary: the hyperparameter and its range.
        methods: the settings of each objective.
        found: the equilibria; its starts on the first instance are used.
        tell: receives progress.
    """
    followed: dict[str, list[Branch]] = {}
    reasons = []
    with in_precision("float64"):
        key = seed_keys(1, methods[0].seed)[0]
        for method in methods:
            label = method.names.objective
            branches = followed.setdefault(label, [])
            family = _family(method, vary.name, key)  # only one, because a second one would be compiled anew
            for end in (vary.low, vary.high):
                for theta in (one for one in found.thetas[label] if one is not None):
                    tell(f"{label}: branches along {vary.name}")
                    try:
                        branches += _followed(vary, family, theta, end, key, branches)
                    except NoEquilibrium as error:
                        reasons.append(f"{label} at {vary.name} = {end:g}: {error}")
    return Branches(methods[0].seed, vary, followed, reasons)


def _followed(
    vary: Vary, family: Family, theta: Theta, end: float, key: Key, known: Sequence[Branch]
) -> list[Branch]:
    """Return the branch that θ leads to at an end of the range, or [] if it is known."""
    game, leader, follower = family(jnp.asarray(end, float))
    found = equilibrium(game, leader, follower, theta, key)
    for branch in known:
        for value, other in zip(branch.values, branch.equilibria, strict=True):
            is_there = np.isclose(value, end, rtol=0.0, atol=1e-9 * (vary.high - vary.low))
            if is_there and distance(game, found.theta, other.theta, key) < SAME:
                return []
    return [continued(family, vary.low, vary.high, found.theta, key, start=end, points=vary.points)]


def _family(settings: Settings, name: str, key: Key) -> Family:
    """Return the players as a function of the value.

    If the instance does not depend on the value, it is drawn once.
    """
    environment, _, follower = settings.build()
    fixed = None
    if name not in {field.name for field in declared(parts(settings.names)[1].environment)}:
        fixed = _drawn(environment, follower, key)

    def at(value: Scalar) -> tuple[Game, Any, Any]:
        environment, leader, follower = _at(settings, name, value).build()
        game = _drawn(environment, follower, key) if fixed is None else fixed
        return game, leader, follower

    return at


@jax.jit
def _drawn(environment: Any, follower: Any, key: Key) -> Game:
    return follower.faced(environment.draw(named_key(key, "instance")))


def at_value(branch: Branch, value: float) -> list[dict[str, float]]:
    """Return `MEASURES` at each place where a branch passes a value.

    Between two points they are interpolated linearly. `stable` is that of the nearer point.
    """
    passed = []
    for place, (a, b) in enumerate(zip(branch.values, branch.values[1:], strict=False)):
        is_last = place == len(branch.values) - 2
        if min(a, b) <= value <= max(a, b) and a != b and (value != b or is_last):
            share = (value - a) / (b - a)
            metrics = {name: branch.metric(name)[place : place + 2].astype(float) for name in MEASURES}
            told = {name: (1.0 - share) * ends[0] + share * ends[1] for name, ends in metrics.items()}
            told["stable"] = metrics["stable"][0 if share < 0.5 else 1]
            passed.append(told)
    return passed
