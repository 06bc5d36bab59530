"""What every objective of the catalogue does."""

import jax
import numpy as np
import pytest

from fpo_jax.objectives import OBJECTIVES
from tests.helpers import at


@pytest.mark.parametrize(
    # the first asks for a game with luck, the second for an ensemble
    "name",
    sorted(OBJECTIVES.keys() - {"informed", "ensemble"}),
)
def test_every_rung_drives_a_policy(name, key):
    # Each is finite, and starts from a gradient that is F's to the sign where it claims to approximate it.
    game, follower, theta, model = at("bandit", key)
    objective = OBJECTIVES[name]()
    gradient = jax.jit(jax.grad(lambda t: objective.value(game, follower, t, model, key)))(theta)
    assert np.all(np.isfinite(gradient))
    np.testing.assert_allclose(np.sum(gradient), 0.0, atol=1e-10 if name != "zero-order" else 1e-8)
