"""A small game of texts."""

import jax
import pytest
from jax.flatten_util import ravel_pytree

from fpo_jax import BestResponse
from fpo_jax.engine.initial import instance
from fpo_jax.envs.language import Language

SMALL = Language(vocabulary=6, prompts=1, length=3, width=4, features=4, corpus=16)
FOLLOWER = BestResponse(ridge=0.01, alpha=0.1)


@jax.jit
def at_random(environment, follower, key):
    """A game, and a state away from any special point."""
    game = instance(environment, key)
    theta, phi = game.init(key)
    flat, unravel = ravel_pytree(theta)
    theta = unravel(flat + 0.5 * jax.random.normal(key, flat.shape))
    return game, theta, follower.init(game, theta, phi, key)


@pytest.fixture(scope="session")
def small():
    return at_random(SMALL, FOLLOWER, jax.random.key(3))
