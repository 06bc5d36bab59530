"""Performative problems in which θ holds the logits of a policy."""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from fpo_jax.hyperparameters import real
from fpo_jax.testing.performative.problem import Performative
from fpo_jax.types import Key, Responses, Scalar

Logits = Float[Array, " responses"]


class _Distribution(Performative):
    """A problem with logits: π = softmax(θ), r_φ(i) = φ_i."""

    def respond(self, theta: Logits, key: Key) -> Responses:
        """Return all responses by their numbers, weighted by softmax(θ)."""
        return Responses(jnp.arange(theta.size), jax.nn.softmax(theta))

    def reward(self, phi: Logits, y: Array) -> Scalar:
        """Return φ_y."""
        return phi[y]

    def cost(self, theta: Logits, responses: Responses) -> Scalar:
        """Return 0."""
        return jnp.zeros((), theta.dtype)


@struct.dataclass
class PrevalenceBandit(_Distribution):
    """Arms whose payoff falls with how often they are pulled, φ⁺_i = v_i − λπ_i; without entropy, so that
    arms drop out.

    Stable: no arm pays more than those pulled, v_i − λπ_i = c where π_i > 0 and v_i <= c elsewhere.
    F = Σ π_i (v_i − λπ_i) is concave and greatest where v_i − 2λπ_i = c in the same way. Either is
    π_i = max(v_i − c, 0)/κ for κ = λ or 2λ, a projection on the simplex: c = max_k (v_(1) + … + v_(k) − κ)/k.
    U(i) = v_i; the value of a policy with the world's answer is its proxy reward.
    """

    values: Float[Array, " arms"]
    crowding: float = real(1.0, "λ", low=0.0, open=True)

    def init(self, key: Key) -> tuple[Logits, Logits]:
        """Return the uniform policy, and the world's answer to it."""
        return jnp.zeros_like(self.values), self.answer(jnp.zeros_like(self.values))

    def answer(self, theta: Logits) -> Logits:
        """Return v − λπ."""
        return self.values - self.crowding * jax.nn.softmax(theta)

    def utility(self, y: Array) -> Scalar:
        """Return v_y."""
        return self.values[y]

    def optimum(self) -> Scalar:
        """Return the greatest v."""
        return jnp.max(self.values)

    def stable(self) -> Logits:
        """Return the stable probabilities."""
        return self._water(self.crowding)

    def optimal(self) -> Logits:
        """Return the optimal probabilities."""
        return self._water(2.0 * self.crowding)

    @property
    def places(self) -> dict[str, int]:
        """Return the arms."""
        return {"arm": self.values.size}

    def _water(self, price: float | Scalar) -> Logits:
        most = jnp.cumsum(jnp.sort(self.values)[::-1])
        level = jnp.max((most - price) / jnp.arange(1.0, self.values.size + 1.0))
        return jnp.maximum(self.values - level, 0.0) / price


@struct.dataclass
class Audit(_Distribution):
    """Two responses, U = (0, 1); the good one is audited more, the more often it is given.

    Its label is 1 − κπ, where π is its probability; the first one's label is 0: φ⁺(θ) = (0, 1 − κπ). With d =
    π(1 − π) the derivative of π in its logit,

        standard = d(1 − κπ),   steering = −d·κπ,   total = d(1 − 2κπ),   dE[U]/dθ = d > 0 everywhere.

    At π = ½, κ = 4/3 they are 1/12, −1/6, −1/12 and 1/4: the myopic leader climbs the true utility and the
    foresighted one descends it, at the same rate. Stable at π = 1/κ, optimal at 1/(2κ).
    """

    strictness: float = real(4 / 3, "κ, > 1", low=1.0, open=True)

    def init(self, key: Key) -> tuple[Logits, Logits]:
        """Return the uniform policy, and its labels."""
        return jnp.zeros(2), self.answer(jnp.zeros(2))

    def answer(self, theta: Logits) -> Logits:
        """Return the labels (0, 1 − κπ)."""
        label = 1.0 - self.strictness * jax.nn.softmax(theta)[1]
        return jnp.stack([jnp.zeros_like(label), label])

    def utility(self, y: Array) -> Scalar:
        """Return 1 for the good response."""
        return jnp.asarray(y, float)

    def optimum(self) -> Scalar:
        """Return 1."""
        return jnp.ones(())

    def stable(self) -> Logits:
        """Return (1 − 1/κ, 1/κ)."""
        return self._given(1.0 / self.strictness)

    def optimal(self) -> Logits:
        """Return (1 − 1/(2κ), 1/(2κ))."""
        return self._given(0.5 / self.strictness)

    @property
    def places(self) -> dict[str, int]:
        """Return the two responses."""
        return {"response": 2}

    def _given(self, good: float | Scalar) -> Logits:
        return jnp.stack([jnp.asarray(1.0 - good), jnp.asarray(good)])
