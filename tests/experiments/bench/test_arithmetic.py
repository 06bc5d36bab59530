"""Operations of an iteration, counted as XLA counts them."""

import pytest

from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.experiments.bench.arithmetic import (
    XLA_OVER_COUNT,
    XLA_OVER_COUNT_OF_PREFERENCES,
    Work,
    iteration,
)
from fpo_jax.experiments.bench.rows import MEASURED
from fpo_jax.experiments.core.settings import in_precision, resolve
from tests.helpers import compiled_iteration


def counts_agree(environment, objective):
    settings, program, _ = compiled_iteration(environment, objective)
    ours, xla = iteration(settings), program.cost_analysis()
    low, high = XLA_OVER_COUNT_OF_PREFERENCES if environment == "contextual" else XLA_OVER_COUNT
    for name in ("flops", "transcendentals"):
        assert low <= xla[name] / getattr(ours, name) <= high, (name, xla[name], ours)


@pytest.mark.parametrize(("environment", "objective"), [("linear", "exact"), ("corridor", "exact")])
def test_operations_are_counted_as_xla_counts_them(environment, objective):
    counts_agree(environment, objective)


@pytest.mark.slow
@pytest.mark.parametrize("objective", MEASURED)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_operations_are_counted_as_xla_counts_them_everywhere(environment, objective):
    with in_precision("float64"):
        counts_agree(environment, objective)


def test_an_exponential_is_counted_once_for_each_policy():
    # π and log π of 25 cells × 4 moves: 100 exp and 25 log, at θ and at θ⁺
    for objective in MEASURED:
        work = iteration(resolve({"environment": "gridworld", "objective": objective}))
        assert work.transcendentals == 2 * (100 + 25)
    assert iteration(resolve({"environment": "bandit", "objective": "tracin"})) is None
    assert 2.0 * (Work(1, 2, 3) + Work(4)) == Work(10, 4, 6)
