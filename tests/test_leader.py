"""The leader's step, by hand: how far, how it fades, how it is clamped."""

import jax.numpy as jnp
import numpy as np

from fpo_jax import Gradient, Leader, Myopic, RewardModel
from fpo_jax.envs.linear import Linear


def test_a_step_is_the_clamped_gradient_times_the_faded_rate(key):
    # J = φ·y − 0.1 ‖y‖²: ∇J = φ − 0.2 y = (0.8, 1.6, −3.0), of which ±1 is left
    game, y = Linear(dimension=3), jnp.array([1.0, 2.0, 0.0])
    model = RewardModel(jnp.array([1.0, 2.0, -3.0]))
    leader = Leader(Myopic(), policy_lr=0.5, policy_lr_decay=0.8, policy_lr_power=2.0)
    free, clamped = (
        player.at(0.5).step(game, Gradient(), y, model, key) - y
        for player in (leader, leader.replace(gradient_clip=1.0))
    )
    rate = 0.5 * (0.2 + 0.8 * (1 - 0.25))  # at p = ½ a quarter of what is to be lost is lost
    np.testing.assert_allclose(free, rate * np.array([0.8, 1.6, -3.0]), rtol=1e-14)
    np.testing.assert_allclose(clamped, rate * np.array([0.8, 1.0, -1.0]), rtol=1e-14)
