"""Performative problems in which θ is a number, each a few lines of algebra."""

from typing import Any, ClassVar

import jax.numpy as jnp
from flax import struct

from fpo_jax.hyperparameters import real
from fpo_jax.leader import Leader
from fpo_jax.objectives.myopic import Myopic
from fpo_jax.testing.performative.problem import Performative
from fpo_jax.types import Key, Phi, Responses, Scalar


class Number(Performative):
    """A problem in which θ is a number: θ itself is the one response, and U(θ) = F(θ)."""

    def init(self, key: Key) -> tuple[Scalar, Phi]:
        """Return θ = 0, and the world's answer to it."""
        return jnp.zeros(()), self.answer(jnp.zeros(()))

    def respond(self, theta: Scalar, key: Key) -> Responses:
        """Return θ as one response of weight 1."""
        return Responses(theta[None], jnp.ones_like(theta)[None])

    def utility(self, y: Scalar) -> Scalar:
        """Return F(y), the value of y after the world has answered."""
        return self.reward(self.answer(y), y)

    def cost(self, theta: Scalar, responses: Responses) -> Scalar:
        """Return 0: penalties are part of the loss."""
        return jnp.zeros_like(theta)

    def optimum(self) -> Scalar:
        """Return F at the performatively optimal point."""
        return self.utility(jnp.asarray(self.optimal()))

    def curvature(self) -> Scalar | float | None:
        """Return −∂²J/∂θ², the same everywhere, or None where J is linear in θ."""
        return None


@struct.dataclass
class BiasedCoin(Number):
    """X = ±1, Y ∈ {0, 1}, P(Y = 1 | X) = ½ + φX; the model ½ + θX; squared loss (Perdomo et al. 2020).

    Y − ½ is ±½ and E[(Y − ½) X] = φ, so that the loss is ¼ − 2θφ + θ², least at θ = φ = μ + εθ: slope ε,
    stable at μ/(1 − ε). With φ = μ + εθ it is ¼ − 2μθ + (1 − 2ε)θ², least at μ/(1 − 2ε).
    """

    base: float = real(0.1, "μ")
    sensitivity: float = real(0.3, "ε, < ½", high=0.499)

    def answer(self, theta: Scalar) -> Scalar:
        """Return μ + εθ."""
        return self.base + self.sensitivity * theta

    def reward(self, phi: Scalar, y: Scalar) -> Scalar:
        """Return −(¼ − 2yφ + y²)."""
        return 2.0 * y * phi - y**2 - 0.25

    def stable(self) -> Scalar | float:
        """Return μ/(1 − ε)."""
        return self.base / (1.0 - self.sensitivity)

    def optimal(self) -> Scalar | float:
        """Return μ/(1 − 2ε)."""
        return self.base / (1.0 - 2.0 * self.sensitivity)

    def slope(self) -> Scalar | float:
        """Return ε."""
        return self.sensitivity

    def curvature(self) -> float:
        """Return 2."""
        return 2.0


@struct.dataclass
class LinearMean(Number):
    """Loss −θz with E[z] = A₀ + A₁θ, A₁ < 0. With A₀ = μ₀, A₁ = −ε: a price θ and its demand (Izzo et al.).

    J = θφ has slope φ in θ, 0 where A₀ + A₁θ = 0: stable at −A₀/A₁. F = A₀θ + A₁θ² is greatest at −A₀/(2A₁).
    """

    base: float = real(1.0, "A₀")
    response: float = real(-0.5, "A₁, < 0", high=0.0, open=True)

    def answer(self, theta: Scalar) -> Scalar:
        """Return A₀ + A₁θ."""
        return self.base + self.response * theta

    def reward(self, phi: Scalar, y: Scalar) -> Scalar:
        """Return yφ."""
        return y * phi

    def stable(self) -> Scalar | float:
        """Return −A₀/A₁."""
        return -self.base / self.response

    def optimal(self) -> Scalar | float:
        """Return −A₀/(2A₁)."""
        return -self.base / (2.0 * self.response)


@struct.dataclass
class RidgeRegression(Number):
    """y = φx, x of second moment c, the model θx, squared loss with penalty ρθ²; the world's φ is a₀ + a₁θ.

    The loss c(φ − θ)² + ρθ² is least at θ = cφ/(c + ρ): slope c·a₁/(c + ρ), stable at
    c·a₀/(c(1 − a₁) + ρ). With φ = a₀ + a₁θ it is c(a₀ − bθ)² + ρθ² for b = 1 − a₁, least at
    c·b·a₀/(c·b² + ρ). By default retraining converges, and to the wrong sign. With c = 1 and ρ = 0 the mean
    of N(φ, σ²) is predicted, and both points are a₀/(1 − a₁).
    """

    base: float = real(5 / 3, "a₀")
    sensitivity: float = real(5 / 3, "a₁")
    second_moment: float = real(34 / 9, "c = E[x²]", low=0.0, open=True)
    ridge: float = real(10 / 3, "ρ", low=0.0)

    def answer(self, theta: Scalar) -> Scalar:
        """Return a₀ + a₁θ."""
        return self.base + self.sensitivity * theta

    def reward(self, phi: Scalar, y: Scalar) -> Scalar:
        """Return −c(φ − y)² − ρy²."""
        return -self.second_moment * (phi - y) ** 2 - self.ridge * y**2

    def stable(self) -> Scalar | float:
        """Return c·a₀/(c(1 − a₁) + ρ)."""
        c = self.second_moment
        return c * self.base / (c * (1.0 - self.sensitivity) + self.ridge)

    def optimal(self) -> Scalar | float:
        """Return c(1 − a₁)a₀/(c(1 − a₁)² + ρ)."""
        c, gap = self.second_moment, 1.0 - self.sensitivity
        return c * gap * self.base / (c * gap**2 + self.ridge)

    def slope(self) -> Scalar | float:
        """Return c·a₁/(c + ρ)."""
        return self.second_moment * self.sensitivity / (self.second_moment + self.ridge)

    def curvature(self) -> Scalar | float:
        """Return 2(c + ρ)."""
        return 2.0 * (self.second_moment + self.ridge)


@struct.dataclass
class ConcaveTrap(Number):
    """Loss −βθz + γθ²/2 with z = εθ on −1 <= θ <= 1: the smallest collapse there is.

    J = βθφ − γθ²/2 is greatest at βφ/γ: slope βε/γ, stable at 0, attracting if βε < γ. F = (βε − γ/2)θ² is
    least at 0 if βε > γ/2, the worst point of all; then both ends of the interval are optimal, and else 0.
    """

    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    gain: float = real(0.8, "β", low=0.0)
    bend: float = real(1.0, "γ", low=0.0, open=True)
    sensitivity: float = real(1.0, "ε", low=0.0)

    def answer(self, theta: Scalar) -> Scalar:
        """Return εθ."""
        return self.sensitivity * theta

    def reward(self, phi: Scalar, y: Scalar) -> Scalar:
        """Return βyφ − γy²/2."""
        return self.gain * y * phi - 0.5 * self.bend * y**2

    def stable(self) -> Scalar | float:
        """Return 0."""
        return 0.0

    def optimal(self) -> Scalar | float:
        """Return 1, which is as good as −1, or 0 if βε <= γ/2."""
        return jnp.where(self.gain * self.sensitivity > 0.5 * self.bend, 1.0, 0.0)

    def slope(self) -> Scalar | float:
        """Return βε/γ."""
        return self.gain * self.sensitivity / self.bend

    def curvature(self) -> Scalar | float:
        """Return γ."""
        return self.bend


def retraining(game: Number) -> Leader:
    """Return the leader that jumps to the maximum of J at the present answer, for J quadratic in θ.

    Newton's step is a gradient step of length 1/(−∂²J/∂θ²).
    """
    curvature: Any = game.curvature()
    return Leader(Myopic(), policy_lr=1.0 / curvature)
