"""The paper's linear environment: a continuous action, a peaked utility, a linear reward model.

y ∈ R^d is the action itself (a deterministic policy, θ = y). Utility is a peak in the first few
coordinates, the signal; the rest is noise, which only costs utility. The reward model r = w·y starts with a
little weight on the noise, and a leader that ignores steering lets the two feed each other.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from fpo_jax.hyperparameters import InputError, count, real
from fpo_jax.types import Game, Key, Recipe, Responses, Scalar

Vector = Float[Array, " d"]


@struct.dataclass
class Linear(Game):
    """U(y) = scale·exp(−rate·‖y − c‖²), r_w(y) = w·y, cost = action_cost·‖y‖² (paper, first experiment).

    c = (ideal_signal, …, ideal_signal, 0, …, 0) with `signal_dimension` leading entries. θ: [dimension],
    the action, from 0. φ: [dimension], from (true_weight_signal, …, 0, …) + N(0, init_noise²). The defaults
    are the published settings. There are no offline data.
    """

    name: ClassVar[str] = "linear"
    recipe: ClassVar[Recipe] = Recipe(
        steps=300,
        policy_lr=0.02,
        follower="gradient",
        settings={"rm_lr": 0.005, "weight_decay": 1e-4},
        weights={"relaxed": 0.1, "practical": 0.1},
    )

    utility_scale: float = real(10.0, "utility at its peak", low=0.0, open=True)
    utility_rate: float = real(0.3, "how fast utility falls with squared distance", low=0.0)
    ideal_signal: float = real(2.0, "signal coordinates of the peak")
    true_weight_signal: float = real(1.0, "mean initial reward-model weight on the signal")
    init_noise: float = real(0.1, "standard deviation of the reward model's initial weights", low=0.0)
    action_cost: float = real(0.1, "price of ‖y‖²", low=0.0)
    dimension: int = count(50, "dimension of the action")
    signal_dimension: int = count(3, "number of signal coordinates, at most the dimension")

    def check(self) -> None:
        """Raise an InputError when there are more signal coordinates than coordinates."""
        if self.signal_dimension > self.dimension:
            allowed = f"<= dimension = {self.dimension}"
            raise InputError("signal_dimension", self.signal_dimension, allowed)

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

    def utility(self, y: Vector) -> Scalar:
        """Return scale · exp(−rate · ‖y − c‖²)."""
        squared_distance = jnp.sum((y - self.ideal) ** 2)
        return self.utility_scale * jnp.exp(-self.utility_rate * squared_distance)

    def cost(self, theta: Vector, responses: Responses) -> Scalar:
        """Return action_cost · ‖y‖²."""
        return self.action_cost * jnp.sum(theta**2)

    def blind_spot(self, y: Vector) -> Scalar:
        """Return the share of ‖y‖² that lies in the noise coordinates; 0 at y = 0."""
        total = jnp.sum(y**2)
        return jnp.sum((y * (1.0 - self.is_signal)) ** 2) / jnp.where(total > 0, total, 1.0)

    def optimum(self) -> Scalar:
        """Return the utility at its peak."""
        return jnp.asarray(self.utility_scale)

    def diagnostics(self, theta: Vector) -> dict[str, Scalar]:
        """Return the norms of the action's signal and noise coordinates."""
        return {
            "signal_norm": jnp.linalg.norm(theta * self.is_signal),
            "noise_norm": jnp.linalg.norm(theta * (1.0 - self.is_signal)),
        }

    @property
    def is_signal(self) -> Vector:
        """Return [dimension] indicators of the signal coordinates."""
        indices = jnp.arange(self.dimension)
        return (indices < self.signal_dimension).astype(jnp.result_type(float))

    @property
    def ideal(self) -> Vector:
        """Return c, where utility peaks."""
        return self.ideal_signal * self.is_signal
