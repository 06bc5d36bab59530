"""`fpo-jax list`: what there is to put together."""

import json
from collections.abc import Sequence
from typing import Any

from fpo_jax.experiments.cli.options import options, parse
from fpo_jax.experiments.cli.without_jax import without_jax


@options
class List:
    """Options of this command."""

    env: str | None = None
    """FILE.py or FILE.py:CLASS with an environment of your own, to be listed besides."""
    json: bool = False
    """One JSON object instead of a table."""


def list_command(arguments: Sequence[str]) -> int:
    """List environments, objectives, followers, feedback and differentiators, with their hyperparameters."""
    given = parse(List, arguments, "list", description=list_command.__doc__)
    if given.env is not None:
        from fpo_jax.experiments.core.env_files import load_environment

        load_environment(given.env)
    groups = catalogue() if given.env else catalogue_at_once()
    if given.json:
        print(json.dumps(groups))
        return 0
    from fpo_jax.experiments.core.wording import folded

    for group, entries in groups.items():
        print(group)
        for name, entry in entries.items():
            print(folded(f"  {name:20s} {entry['about']}", 4))
            for parameter, said in entry["hyperparameters"].items():
                meaning = f"{said['help']}; {said['allowed']}"
                print(folded(f"      {parameter} = {said['default']}: {meaning}", 10))
        print()
    return 0


def catalogue_at_once() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the catalogue without JAX, or with it where a module computes something while it is imported."""
    try:
        with without_jax():
            return catalogue()
    except Exception:  # whatever a stand-in could not do
        return catalogue()


def catalogue() -> dict[str, dict[str, dict[str, Any]]]:
    """Return what a user can name: by group and name, what it is, and its hyperparameters."""
    from fpo_jax.envs import ENVIRONMENTS
    from fpo_jax.feedback import FEEDBACKS
    from fpo_jax.followers import FOLLOWERS
    from fpo_jax.hyperparameters import allowed_values, declared
    from fpo_jax.numerics.differentiators import DIFFERENTIATORS
    from fpo_jax.objectives import OBJECTIVES

    groups: dict[str, dict[str, Any]] = {
        "environments": ENVIRONMENTS,
        "objectives": OBJECTIVES,
        "followers": FOLLOWERS,
        "feedback": FEEDBACKS,
        "differentiators": DIFFERENTIATORS,
    }

    def entry(cls: Any) -> dict[str, Any]:
        fields = {
            f.name: {"default": f.default, "help": f.metadata["help"], "allowed": allowed_values(f)}
            for f in declared(cls)
        }
        return {"about": (cls.__doc__ or "").strip().splitlines()[0], "hyperparameters": fields}

    return {group: {name: entry(cls) for name, cls in classes.items()} for group, classes in groups.items()}
