"""A game that answers with recorded noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax.envs.neural import Neural
from fpo_jax.experiments.parity.recorded_game import Recorded


def test_it_explores_by_that_noise_whatever_the_key(key):
    game = Neural(dimension=3, rm_hidden="4", responses=2, sigma=0.5)
    theta, noise = jnp.array([1.0, 2.0, 3.0]), jax.random.normal(key, (4, 2, 3))
    recorded = Recorded(game, noise)
    for any_key in jax.random.split(key):
        np.testing.assert_array_equal(recorded.respond(theta, any_key).y, theta[None] + 0.5 * noise[0])
        every = recorded.sample(theta, any_key, 4)
        np.testing.assert_array_equal(every.y, theta[None, None] + 0.5 * noise)
        np.testing.assert_array_equal(every.w, np.full((4, 2), 0.5))
    with pytest.raises(ValueError, match="the recording has 4 rows of noise, and the game needs 3"):
        recorded.sample(theta, key, 3)
    _, phi = game.init(key)
    assert recorded.reward(phi, theta) == game.reward(phi, theta)  # all else is the game's own
