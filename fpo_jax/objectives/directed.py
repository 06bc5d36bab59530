"""Objectives defined by their gradient: routes to dF/dθ other than automatic differentiation of F."""

import chex
import jax
import jax.numpy as jnp

from fpo_jax.steering import foresighted_value
from fpo_jax.types import Follower, Game, Key, Objective, RewardModel, Scalar, Theta


class Directed(Objective):
    """An objective defined by its gradient; a subclass implements `estimate`."""

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return F(θ), with the estimate as its gradient with respect to θ."""
        here = jax.lax.stop_gradient(theta)
        gradient = self.estimate(game, follower, here, reward_model, key).gradient
        chex.assert_trees_all_equal_shapes(gradient, theta)
        at_zero = jax.tree.map(lambda g, t, h: jnp.sum(g * (t - h)), gradient, theta, here)
        return foresighted_value(game, follower, here, reward_model, key) + sum(jax.tree.leaves(at_zero))
