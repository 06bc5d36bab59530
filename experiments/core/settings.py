"""Settings of a run: names and numbers, resolved from an environment's recipe and a user's values.

A run's settings are flat: every hyperparameter of the environment, the leader, the objective, its
differentiator and the follower has a unique name. They are what stands in `config.json`, what the
command line offers, and what a sweep will vary.
"""

import contextlib
import dataclasses
import shlex
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import jax

from fpo_jax.engine.initial import SEED_LIMIT
from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.errors import InputError, require_known
from fpo_jax.experiments.core.declared import Declared, as_written, option
from fpo_jax.experiments.core.env_files import env_options, origin, without_origin
from fpo_jax.experiments.core.json_files import NotJson, document
from fpo_jax.feedback import FEEDBACKS
from fpo_jax.followers import FOLLOWERS, Ensemble, Monitored
from fpo_jax.hyperparameters import REQUIRED, choice, count, declared, validate
from fpo_jax.leader import Leader
from fpo_jax.monitors import monitored
from fpo_jax.numerics.differentiators import DIFFERENTIATORS
from fpo_jax.objectives import OBJECTIVES
from fpo_jax.record import Record, full_record, outcome
from fpo_jax.types import Environment, Follower, Recipe

PRECISIONS = ("float32", "float64")
RECORDS: dict[str, Record] = {"full": full_record, "outcome": outcome, "monitors": monitored}
"""What a run records: the outcome with the exact steering term, the outcome alone, or the outcome with
monitors of collapse.
"""
MEMBERS = {name: cls for name, cls in FOLLOWERS.items() if not issubclass(cls, Ensemble)}
"""Followers that may be members of an ensemble."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Names(Declared):
    """The parts of a run, by name; None for follower and feedback takes those of the recipe.

    The same holds for the member of an ensemble; other followers have none.
    """

    environment: str = choice(REQUIRED, "environment in which the policy is trained", ENVIRONMENTS)
    objective: str = choice("myopic", "objective that the policy (the leader) ascends", OBJECTIVES)
    follower: str | None = choice(None, "how the reward model is retrained", FOLLOWERS)
    differentiator: str = choice("autodiff", "how the leader differentiates its objective", DIFFERENTIATORS)
    feedback: str | None = choice(None, "what the reward model is trained on", FEEDBACKS)
    member: str | None = choice(None, "how each model of an ensemble is retrained", MEMBERS)

    def __post_init__(self) -> None:
        file = f"{self.environment}.py"
        if self.environment not in [*ENVIRONMENTS] and _is_file(file):
            raise InputError("environment", self.environment, f"given as a file, with --env {file}")
        super().__post_init__()

    def as_dict(self) -> dict[str, Any]:
        """Return the names; without an ensemble, it has no member."""
        return {name: value for name, value in super().as_dict().items() if (name, value) != ("member", None)}


def _is_file(name: str) -> bool:
    with contextlib.suppress(OSError, ValueError):  # not a file name
        return Path(name).is_file()
    return False


@dataclasses.dataclass(frozen=True, kw_only=True)
class General(Declared):
    """Settings of every run in addition to its parts and their hyperparameters."""

    seeds: int = count(64, "number of seeds", high=SEED_LIMIT)
    seed: int = count(0, "first seed", low=0, high=SEED_LIMIT - 1)
    steps: int = count(REQUIRED, "iterations; each has policy steps and one update of the reward model")
    precision: str = choice("float64", "floating-point precision", PRECISIONS)
    record: str = choice(
        "full",
        "what to record; full adds the exact steering term and takes longer; monitors adds alarms",
        RECORDS,
    )


class Parts(NamedTuple):
    """The classes of the named parts; only an ensemble has a member."""

    environment: Any
    leader: Any
    objective: Any
    differentiator: Any
    follower: Any
    feedback: Any
    member: Any


def parts(names: Names) -> tuple[Names, Parts, Recipe]:
    """Look up the classes of the named parts.

    Returns:
        The names with follower, feedback and member filled in, the classes, and the environment's recipe.

    Raises:
        InputError: when there is a member but no ensemble.
    """
    environment = ENVIRONMENTS[names.environment]
    recipe: Recipe = environment.recipe
    follower, feedback = names.follower or recipe.follower, names.feedback or recipe.feedback
    is_ensemble = issubclass(FOLLOWERS[follower], Ensemble)
    if names.member and not is_ensemble:
        raise InputError("member", names.member, "omitted, unless the follower is an ensemble")
    member = names.member or recipe.follower if is_ensemble else None
    names = dataclasses.replace(names, follower=follower, feedback=feedback, member=member)
    found = Parts(
        environment,
        Leader,
        OBJECTIVES[names.objective],
        DIFFERENTIATORS[names.differentiator],
        FOLLOWERS[follower],
        FEEDBACKS[feedback],
        FOLLOWERS[member] if member else None,
    )
    return names, found, recipe


def hyperparameters(names: Names) -> dict[str, tuple[dataclasses.Field, Any]]:
    """List every hyperparameter of a run by its flat name, with its declaration and its default.

    Defaults come from the recipe if it has them, and otherwise from the declaration.
    """
    names, classes, recipe = parts(names)
    for objective in recipe.weights:
        require_known(f"objective in the recipe of {names.environment}", objective, OBJECTIVES)
    spoken: dict[str, Any] = dict(recipe.leader)
    own = {field.name for field in declared(classes.objective)}
    spoken |= {name: value for name, value in recipe.objective.items() if name in own}
    if names.objective in recipe.weights:
        spoken["weight"] = recipe.weights[names.objective]
    trained = classes.member or classes.follower
    if issubclass(trained, FOLLOWERS[recipe.follower]):
        spoken |= recipe.settings
    if names.feedback == recipe.feedback:
        spoken |= recipe.annotator
    table: dict[str, tuple[dataclasses.Field, Any]] = {}
    for owner in filter(None, classes):
        for field in declared(owner):
            if field.name in table:
                raise InputError(field.name, f"declared twice, again by {owner.__name__}", "a unique name")
            table[field.name] = (field, spoken.get(field.name, field.default))
    for name in spoken:
        require_known(f"setting in the recipe of {names.environment}", name, {**table, "weight": None})
    return table


@dataclasses.dataclass(frozen=True)
class Settings(General):
    """Resolved settings of a run, ready to be saved and run again.

    Attributes:
        names: the parts.
        values: every hyperparameter by its flat name.
    """

    names: Names
    values: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return all settings as one flat dictionary, the contents of `config.json`."""
        return self.names.as_dict() | origin(self.names.environment) | super().as_dict() | self.values

    def build(self) -> tuple[Environment, Leader, Follower]:
        """Return the environment, the leader and the follower.

        Raises:
            InputError: names the first hyperparameter that is out of range.
        """
        _, classes, _ = parts(self.names)

        def make(cls: type, **more: Any) -> Any:
            made = cls(**{f.name: self.values[f.name] for f in declared(cls)}, **more)
            validate(made)
            return made

        objective, differentiator = make(classes.objective), make(classes.differentiator)
        leader = make(classes.leader, objective=objective, differentiator=differentiator)
        feedback = make(classes.feedback)
        if classes.member:
            follower = make(classes.follower, member=make(classes.member, feedback=feedback))
        else:
            follower = make(classes.follower, feedback=feedback)
        if self.record == "monitors":
            follower = Monitored(follower=follower)
            validate(follower)
        return make(classes.environment), leader, follower

    def static(self) -> dict[str, Any]:
        """Return what a program with these parts depends on: everything except real hyperparameters."""
        table = hyperparameters(self.names)
        counts = {name: v for name, v in self.values.items() if table[name][0].metadata["kind"] is not float}
        environment = parts(self.names)[1].environment
        # two files may use the same name
        file = getattr(sys.modules[environment.__module__], "__file__", None)
        return self.names.as_dict() | counts | {"file": file}

    def command(self) -> str:
        """Return the shortest command that repeats this run."""
        environment = self.names.environment
        words = ["fpo-jax run", environment, *env_options(environment), f"--objective {self.names.objective}"]
        return " ".join([*words, *self.options()])

    def options(self) -> list[str]:
        """Return the options, as typed, in which this run differs from its recipe."""
        environment = self.names.environment
        usual_names = parts(Names(environment=environment, objective=self.names.objective))[0].as_dict()
        usual_member = parts(dataclasses.replace(self.names, member=None))[0].member
        usual = resolve(self.names.as_dict()).as_dict() | usual_names | {"member": usual_member}
        changed = {name: value for name, value in self.as_dict().items() if value != usual[name]}
        return [option(name, value) for name, value in changed.items()]


def resolve(wishes: Mapping[str, Any]) -> Settings:
    """Complete a user's settings, flat names to values, from the recipe.

    Raises:
        InputError: names what is unknown (with the nearest known name), missing or out of range.
    """
    wishes = {key: value for key, value in without_origin(wishes).items() if value is not None}
    names, _, recipe = parts(Names.of({key: wishes[key] for key in Names.known() if key in wishes}))
    table = hyperparameters(names)
    general = {"steps": recipe.steps} | {key: wishes[key] for key in General.known() if key in wishes}
    known = [*Names.known(), *General.known(), *table]
    for key in wishes:
        require_known("setting", key, known)
    values = {key: as_written(f, wishes.get(key, default)) for key, (f, default) in table.items()}
    settings = Settings(names, values, **general)
    settings.build()
    return settings


MOST_BYTES = 2**22
"""Maximum bytes of a file of settings."""
OF_COMMANDS = {
    "equilibria": "equilibria",
    "decompose": "decompose",
    "policy_steps": "run",
    "grid": "sweep",
    "judge_model": "judge",
    "lora_rank": "llm",
    "truthfulqa": "evaluate",
}
"""The first of these settings in a `config.json` identifies its command."""


def load(path: Path, *commands: str) -> dict[str, Any]:
    """Read the settings of an earlier run from its `config.json`.

    Args:
        path: the file.
        commands: the accepted commands; all if none is named.

    Raises:
        InputError: when the file is missing, is not one JSON object, or belongs to another command.
    """
    try:
        loaded = document(path, MOST_BYTES)
    except (OSError, NotJson) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError("config", path, f"a readable JSON file ({reason})") from error
    if not isinstance(loaded, dict):
        raise InputError("config", path, "a JSON object of settings")
    of = [command for name, command in OF_COMMANDS.items() if name in loaded]
    if commands and of and of[0] not in commands:
        right = f"fpo-jax {of[0]} --config {shlex.quote(str(path))}"
        raise InputError("config", path, f"settings of {commands[0]}; this file is for `{right}`")
    return loaded


def in_precision(precision: str) -> AbstractContextManager[None]:
    """Return a context in which JAX computes in this precision, whatever its default."""
    return jax.enable_x64(precision == "float64")
