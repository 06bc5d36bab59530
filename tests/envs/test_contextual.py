"""The contextual bandit of prompts: bad input."""

import pytest

from fpo_jax import Gradient, Leader, Relaxed, run_seed
from fpo_jax.envs.contextual import Contextual
from tests.helpers import require_named

BAD = {
    "reference_leak = 1.0: must be < 1": lambda key: run_seed(
        Contextual(reference_leak=1.0), Leader(Relaxed()), Gradient(), key, steps=1
    ),
    "trapped = 9: must be <= prompts": lambda key: run_seed(
        Contextual(trapped=9), Leader(Relaxed()), Gradient(), key, steps=1
    ),
}


@pytest.mark.parametrize("complaint", BAD)
def test_bad_input(complaint, key):
    require_named(complaint, lambda: BAD[complaint](key))
