"""Golden traces: what runs gave, to be held against what they give after a change that should change nothing.

`python -m tests.golden.traces` makes them anew, all or those of the environments that it is given.
"""

import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fpo_jax import InputError, full_record, run_seeds, seed_keys
from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.experiments.core.settings import in_precision, resolve

FOLDER = Path(__file__).parent
METHODS = "myopic", "exact", "relaxed", "practical", "proximal", "implicit"
RECIPE_OF = {"gradient": "linear", "best-response": "bandit", "optax": "neural"}
"""Each follower of the recipes, and the environment in whose recipe its settings are looked up by others."""
WITHOUT_OFFLINE_DATA = ("linear", "neural")
SEEDS, STEPS = 3, 20
SHOWN = [0, 1, 2, 5, 10, 20]
"""Iterations whose entries are kept: a difference in any other shows in the next of these."""


def trace(environment: str, follower: str, method: str) -> dict[str, Any]:
    """Return every metric, [seed][entry], or which field of the input was refused."""
    recipe = ENVIRONMENTS[environment].recipe
    other = {} if recipe.follower == follower else dict(ENVIRONMENTS[RECIPE_OF[follower]].recipe.settings)
    if environment in WITHOUT_OFFLINE_DATA and "alpha" in other:
        other["alpha"] = 1.0
    wishes = {"environment": environment, "follower": follower, "objective": method, **other}
    with in_precision("float64"):
        try:
            settings = resolve(wishes)
            players = settings.build()
            _, found = run_seeds(*players, seed_keys(SEEDS), steps=STEPS, record=full_record)
        except InputError as error:
            return {"refused": error.field}
    return {name: np.asarray(values)[:, SHOWN].tolist() for name, values in found.metrics.items()}


def cases(environment: str) -> list[tuple[str, str]]:
    """Return what is run in an environment: followers and methods."""
    return [(follower, method) for follower in RECIPE_OF for method in METHODS]


def path_of(environment: str) -> Path:
    """Return the file of an environment's traces."""
    return FOLDER / f"{environment}.json"


def read(environment: str) -> dict[str, dict[str, Any]]:
    """Return the golden traces of an environment by follower and method, as "optax exact"."""
    return json.loads(path_of(environment).read_text(encoding="utf-8"))


def make(environment: str) -> None:
    """Make the golden traces of an environment."""
    found = {" ".join(case): trace(environment, *case) for case in cases(environment)}
    lines = [f"{json.dumps(name)}: {{\n{_metrics(metrics)}}}" for name, metrics in found.items()]
    path_of(environment).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _metrics(metrics: dict[str, Any]) -> str:
    """Write one metric a line."""
    rounded = json.loads(json.dumps(metrics), parse_float=lambda digits: float(f"{float(digits):.13g}"))
    return ",\n".join(f" {json.dumps(name)}: {json.dumps(values)}" for name, values in rounded.items()) + "\n"


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    for name in sys.argv[1:] or ENVIRONMENTS:
        make(name)
        print(f"{path_of(name)}: {path_of(name).stat().st_size / 1e3:.0f} kB", flush=True)
