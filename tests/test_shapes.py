"""Arrays of wrong shapes are refused when a function is traced, where JAX would broadcast or cut them."""

import jax
import jax.numpy as jnp
import pytest
from flax import struct

from fpo_jax import Gradient
from fpo_jax.data import Cost, Estimate
from fpo_jax.envs.linear import Linear
from fpo_jax.numerics.linear_solve import solve_positive
from fpo_jax.objectives.directed import Directed
from fpo_jax.responses import accepted, best_of
from fpo_jax.steering import sign_agreement


@struct.dataclass
class OneNumber(Directed):
    """An estimate of one number, for a θ of several."""

    def estimate(self, game, follower, theta, reward_model, key):
        return Estimate(jnp.ones(()), Cost())


def direct(key):
    game, follower = Linear(dimension=4), Gradient()
    theta, phi = game.init(key)
    return OneNumber().value(game, follower, theta, follower.init(game, theta, phi, key), key)


SILENT = {
    "one score for all responses": lambda key: best_of(jnp.full(4, 0.25), jnp.ones(1), candidates=2),
    "one score for all candidates": lambda key: accepted(jnp.full(4, 0.25), jnp.ones(1), 2, 1.0),
    "a right-hand side longer than the matrix": lambda key: solve_positive(jnp.eye(2), jnp.ones(3)),
    "a direction of one coordinate": lambda key: sign_agreement(jnp.ones(1), jnp.ones(3)),
    "an estimate unlike θ": direct,
}


@pytest.mark.parametrize("case", SILENT)
def test_what_would_pass_in_silence_is_refused(case, key):
    with pytest.raises(AssertionError, match="shape"):
        jax.eval_shape(SILENT[case], key)
