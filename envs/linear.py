"""The paper's linear environment: a continuous action, a peaked utility, a linear reward model.

y ∈ R^d is the action itself (a deterministic policy, θ = y). The reward model r = w·y starts with a little
weight on the noise coordinates, and a leader that ignores steering lets the two feed each other.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from fpo_jax.envs.parts.peak import Peak, Vector
from fpo_jax.hyperparameters import real
from fpo_jax.types import Key, Recipe, Responses, Scalar


@struct.dataclass
class Linear(Peak):
    """r_w(y) = w·y at a peaked utility (paper, first experiment), with the published settings as defaults.

    θ: [dimension], the action, from 0. φ: [dimension], from (true_weight_signal, …, 0, …) +
    N(0, init_noise²).
    """

    name: ClassVar[str] = "linear"
    recipe: ClassVar[Recipe] = Recipe(
        steps=300,
        leader={"policy_lr": 0.02},
        follower="gradient",
        settings={"rm_lr": 0.005, "weight_decay": 1e-4},
        weights={
            "relaxed": 0.1,
            "practical": 0.1,
            # chosen by `fpo-jax reproduce --only mitigations`, on seeds of their own
            "leverage": 0.316,
            "pessimistic": 0.1,
            "gradient-norm": 0.001,
            "shaped": 0.316,
            "ensemble": 31.6,
        },
    )

    true_weight_signal: float = real(1.0, "mean initial reward-model weight on the signal")

    def init(self, key: Key) -> tuple[Vector, Vector]:
        """Return the action 0 and noisy reward-model weights."""
        noise = jax.random.normal(key, (self.dimension,))
        return jnp.zeros_like(noise), self.true_weight_signal * self.is_signal + self.init_noise * noise

    def respond(self, theta: Vector, key: Key) -> Responses:
        """Return the action as one response of weight 1; gradients flow through it."""
        return Responses(theta[None], jnp.ones_like(theta, shape=(1,)))

    def reward(self, phi: Vector, y: Vector) -> Scalar:
        """Return w·y."""
        return jnp.sum(phi * y)
