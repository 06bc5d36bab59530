"""Gradient regularisation: a leader that avoids steep regions."""

from typing import ClassVar

import jax
from flax import struct

from fpo_jax.expect import evaluate, squared_norm
from fpo_jax.hyperparameters import real
from fpo_jax.steering import foresight_keys
from fpo_jax.types import Follower, Game, Key, Objective, RewardModel, Scalar, Theta


@struct.dataclass
class GradientNorm(Objective):
    """J − weight · ‖∇_θ J‖², at the present φ: gradient regularisation (arXiv 2602.18037).

    Nothing is detached: the second derivative of J is exact.
    """

    knows: ClassVar[str] = "nothing"

    weight: float = real(
        0.1, "γ, price of the squared norm of the gradient; 0 is the myopic objective", low=0.0
    )

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return J − weight · ‖∇_θ J‖²."""
        evaluation = foresight_keys(key).evaluation
        value, gradient = jax.value_and_grad(evaluate, argnums=1)(game, theta, reward_model.phi, evaluation)
        return value - self.weight * squared_norm(gradient)
