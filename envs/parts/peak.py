"""What the paper's two continuous environments share: a peaked utility, an action cost, a noise subspace."""

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from fpo_jax.errors import InputError
from fpo_jax.expect import expect
from fpo_jax.hyperparameters import count, real
from fpo_jax.types import Game, Responses, Scalar

Vector = Float[Array, " d"]


@struct.dataclass
class Peak(Game):
    """U(y) = scale · exp(−rate · ‖y − c‖²), cost = action_cost · E‖y‖², for y ∈ R^d (paper).

    c = (ideal_signal, …, ideal_signal, 0, …, 0) with `signal_dimension` leading entries, the signal; the
    other coordinates are noise, which only costs utility. θ: [dimension], the mean action. The blind spot is
    the noise subspace: the reward model begins with some weight there, and only data can remove it. There are
    no offline data.
    """

    utility_scale: float = real(10.0, "utility at its peak", low=0.0, open=True)
    utility_rate: float = real(0.3, "how fast utility falls with squared distance", low=0.0)
    ideal_signal: float = real(2.0, "value of each signal coordinate of the peak")
    init_noise: float = real(0.1, "standard deviation of the reward model's initial weights", low=0.0)
    action_cost: float = real(0.1, "price of ‖y‖²", low=0.0)
    dimension: int = count(50, "dimension of the action")
    signal_dimension: int = count(3, "number of signal coordinates, at most the dimension")

    def check(self) -> None:
        """Raise an InputError when there are more signal coordinates than coordinates."""
        if self.signal_dimension > self.dimension:
            allowed = f"<= dimension = {self.dimension}"
            raise InputError("signal_dimension", self.signal_dimension, allowed)

    def utility(self, y: Vector) -> Scalar:
        """Return scale · exp(−rate · ‖y − c‖²)."""
        squared_distance = jnp.sum((y - self.ideal) ** 2)
        return self.utility_scale * jnp.exp(-self.utility_rate * squared_distance)

    def cost(self, theta: Vector, responses: Responses) -> Scalar:
        """Return action_cost · E‖y‖²."""
        return self.action_cost * expect(lambda y: jnp.sum(y**2), responses)

    def blind_spot(self, y: Vector) -> Scalar:
        """Return the share of ‖y‖² that lies in the noise coordinates; 0 at y = 0."""
        total = jnp.sum(y**2)
        return jnp.sum((y * (1.0 - self.is_signal)) ** 2) / jnp.where(total > 0, total, 1.0)

    def optimum(self) -> Scalar:
        """Return the utility at its peak."""
        return jnp.asarray(self.utility_scale)

    def diagnostics(self, theta: Vector) -> dict[str, Scalar]:
        """Return the norms of the mean action's signal and noise coordinates."""
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
