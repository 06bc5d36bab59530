"""The independent NumPy oracle, for benchmarks that compare it with the package."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from fpo_jax.engine.initial import instance
from fpo_jax.experiments.bench import numpy_oracle, numpy_oracle_tabular
from fpo_jax.experiments.core.settings import Settings

WITHOUT = {
    ("contextual", None): "best responses to preferences are found iteratively",
    ("language", None): "its transformer is checked text by text, in tests/envs/parts/test_transformer.py",
    ("neural", "exact"): "its derivation by hand, through Adam and the buffer, is not written",
}
"""Environments, or some of their objectives, without an oracle, and why."""


def eager(settings: Settings) -> Callable[[int], object] | None:
    """Return a function that runs the oracle for this many iterations of one seed, or None if there is
    none.
    """
    name, objective = settings.names.environment, settings.names.objective
    if any(key in WITHOUT for key in ((name, None), (name, objective))) or name not in _MAKE:
        return None
    environment, _, _ = settings.build()
    key = jax.random.key(0)
    game: Any = jax.tree.map(np.asarray, instance(environment, key))
    return _MAKE[name](game, objective, settings.values)


def _common(objective: str, values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {"objective": objective} | {n: values[n] for n in ("weight", *names) if n in values}


def _bandit(game: Any, objective: str, values: dict[str, Any]) -> Callable[[int], object]:
    options = _common(objective, values, "alpha", "ridge", "temperature", "policy_lr")
    return numpy_oracle.BanditOracle(*game.arms, **options).run


def _tabular(game: Any, objective: str, values: dict[str, Any]) -> Callable[[int], object]:
    tables = game.transitions.probabilities, game.start, *game.pairs, game.covered
    options = _common(objective, values, "alpha", "ridge", "discount", "temperature", "policy_lr")
    return numpy_oracle_tabular.TabularOracle(*tables, **options).run


def _linear(game: Any, objective: str, values: dict[str, Any]) -> Callable[[int], object]:
    reference = numpy_oracle.LinearOracle(**_common(objective, values))
    weights = np.r_[np.ones(3), np.zeros(47)] + 0.1 * np.random.default_rng(0).normal(size=50)
    return lambda steps: reference.run(weights, steps)


def _neural(game: Any, objective: str, values: dict[str, Any]) -> Callable[[int], object]:
    rng = np.random.default_rng(0)
    widths = ((32, 10), (32, 32), (1, 32))
    weights, biases = [0.1 * rng.normal(size=w) for w in widths], [np.zeros(w[0]) for w in widths]
    reference = numpy_oracle.NeuralOracle(**_common(objective, values))

    def run(steps: int) -> object:
        noise = rng.normal(size=(steps, values["policy_steps"], 10)), rng.normal(size=(steps, 5, 10))
        return reference.run(weights, biases, *noise)

    return run


_MAKE: dict[str, Callable[[Any, str, dict[str, Any]], Callable[[int], object]]] = {
    "bandit": _bandit,
    "corridor": _tabular,
    "garnet": _tabular,
    "gridworld": _tabular,
    "linear": _linear,
    "neural": _neural,
}
