"""What is compiled, and what is not compiled again."""

from functools import partial

import chex
import jax
import pytest

from fpo_jax import (
    BestResponse,
    Exact,
    ForwardDifference,
    Gradient,
    GradientNorm,
    Leader,
    Myopic,
    Relaxed,
    Shaped,
    outcome,
    run_seeds,
    seed_keys,
)
from fpo_jax.objectives.penalties import Fpo
from tests.helpers import SMALL, compilations

LINEAR, BANDIT = SMALL["linear"], SMALL["bandit"]
CHANGES = {
    "weight": [(LINEAR, Leader(Relaxed(weight=w)), Gradient()) for w in (0.1, 0.2, 1, 0)],
    "policy_lr": [(LINEAR, Leader(Relaxed(), policy_lr=lr), Gradient()) for lr in (0.02, 0.03)],
    "rm_lr": [(LINEAR, Leader(Myopic()), Gradient(rm_lr=lr)) for lr in (0.01, 0.02)],
    "weight_decay": [(LINEAR, Leader(Myopic()), Gradient(weight_decay=d)) for d in (0.0, 0.1)],
    "alpha": [(BANDIT, Leader(Exact()), BestResponse(ridge=0.1, alpha=a)) for a in (0.1, 0.3, 1)],
    "ridge": [(BANDIT, Leader(Exact()), BestResponse(ridge=r, alpha=0.5)) for r in (0.1, 1, 0.001)],
    "difference_step": [
        (LINEAR, Leader(Myopic(), differentiator=ForwardDifference(difference_step=h)), Gradient())
        for h in (0.1, 0.2)
    ],
    "arm of the paper": [
        (LINEAR, Leader(Fpo(weight=w, oracle=o)), Gradient()) for w, o in ((0.0, 1.0), (0.1, 1.0), (0.1, 0.0))
    ],
    "gradient-norm": [
        (BANDIT, Leader(GradientNorm(weight=w)), BestResponse(ridge=0.1)) for w in (0.0, 1, 2.0)
    ],
    "shaped": [(BANDIT, Leader(Shaped(weight=w)), BestResponse(ridge=0.1)) for w in (1.0, 2)],
    "temperature": [
        (BANDIT.replace(temperature=t), Leader(Myopic()), BestResponse(ridge=0.1)) for t in (0.1, 0.2)
    ],
}


@pytest.mark.parametrize("changing", CHANGES)
def test_nothing_is_compiled_again_when_a_number_changes(changing):
    go = partial(run_seeds, keys=seed_keys(jax.local_device_count() + 1), steps=3, record=outcome)
    first, *others = CHANGES[changing]
    go(*first)
    with compilations() as names:
        for players in others:
            go(*players)
    assert names == []


def test_a_program_traces_its_record_once_and_another_length_is_another_program():
    record = chex.assert_max_traces(outcome, n=1)
    go = partial(run_seeds, LINEAR, Leader(Myopic()), Gradient(), seed_keys(3), record=record)
    with compilations() as names:
        go(steps=3)
    assert names  # which the test above would see
    go(steps=3)
    with pytest.raises(AssertionError, match="'outcome' is traced > 1 times"):
        go(steps=4)
