"""A bandit with a planted blind spot: flashy, useless arms that the offline data never show.

Ordinary arms have a quality q ~ U[0, 1] and a style s = correlation·q + style_noise·U[0, 1], so on offline
data style predicts quality. Planted arms have style far above anything seen, s ~ U[low, high], and next to
no quality. The reward model is linear in the features (s, visibility·q). It sees quality only faintly, so a
ridge makes it cheaper to explain quality by style. True utility is U = q.
"""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import count, real
from fpo_jax.types import Game, Key, Recipe, Responses, Scalar


class Arm(NamedTuple):
    """One arm as a response; a whole bandit's arms have a leading axis.

    Attributes:
        features: [2] what the reward model sees, (s, visibility·q).
        quality: true utility q, in [0, 1].
        planted: 1 for an arm of the blind spot, 0 for an ordinary one.
    """

    features: Float[Array, "... 2"]
    quality: Float[Array, "..."]
    planted: Float[Array, "..."]


@struct.dataclass
class BanditGame(Game):
    """One bandit: all arms as responses, softmax weights, r = φ·features, cost = τ·KL(π_θ ‖ uniform).

    θ: [arms] logits. φ: [2]. The Kullback–Leibler cost is an entropy bonus up to a constant.
    """

    arms: Arm
    temperature: float | Scalar

    def init(self, key: Key) -> tuple[Float[Array, " arms"], Float[Array, " features"]]:
        """Return the uniform policy and a reward model that knows nothing, φ₀ = 0."""
        return jnp.zeros_like(self.arms.quality), jnp.zeros_like(self.arms.features[0])

    def respond(self, theta: Float[Array, " arms"], key: Key) -> Responses:
        """Return all arms, weighted by softmax(θ): an exact expectation, no key needed."""
        return Responses(self.arms, jax.nn.softmax(theta))

    def reward(self, phi: Float[Array, " features"], y: Arm) -> Scalar:
        """Return φ·features(y)."""
        return jnp.vdot(phi, y.features)

    def utility(self, y: Arm) -> Scalar:
        """Return the arm's quality."""
        return y.quality

    def cost(self, theta: Float[Array, " arms"], responses: Responses) -> Scalar:
        """Return τ · KL(π_θ ‖ uniform)."""
        return self.temperature * self._kl(theta)

    def blind_spot(self, y: Arm) -> Scalar:
        """Return 1 for a planted arm, 0 for an ordinary one."""
        return y.planted

    def optimum(self) -> Scalar:
        """Return the best arm's quality."""
        return jnp.max(self.arms.quality)

    def offline(self) -> Responses:
        """Return the offline data: uniform on the ordinary arms."""
        ordinary = 1.0 - self.arms.planted
        return Responses(self.arms, ordinary / jnp.sum(ordinary))

    def diagnostics(self, theta: Float[Array, " arms"]) -> dict[str, Scalar]:
        """Return `kl`, KL(π_θ ‖ π_θ₀) in nats; the initial policy is uniform."""
        return {"kl": self._kl(theta)}

    @property
    def places(self) -> dict[str, int]:
        """Return the arms."""
        return {"arm": self.arms.quality.size}

    def _kl(self, theta: Float[Array, " arms"]) -> Scalar:
        log_policy = jax.nn.log_softmax(theta)
        return jnp.sum(jnp.exp(log_policy) * log_policy) + jnp.log(float(theta.size))


@struct.dataclass
class Bandit:
    """The planted-blind-spot bandit: sizes and strengths, from which instances are drawn (ours)."""

    name: ClassVar[str] = "bandit"
    recipe: ClassVar[Recipe] = Recipe(
        steps=3000,
        leader={"policy_lr": 1.0},
        follower="best-response",
        settings={"alpha": 0.3, "ridge": 0.1},
        weights={
            "relaxed": 0.3,
            "practical": 0.1,
            # chosen by `fpo-jax reproduce --only mitigations`, on seeds of their own
            "leverage": 0.316,
            "pessimistic": 0.316,
            "kl": 316.0,
            "chi-squared": 31.6,
            "gradient-norm": 100.0,
            "shaped": 1000.0,
            "ensemble": 100.0,
        },
    )

    temperature: float = real(0.02, "price τ of KL(π ‖ uniform)", low=0.0)
    correlation: float = real(0.8, "slope of style on quality, among ordinary arms")
    style_noise: float = real(0.2, "spread of style that quality does not explain", low=0.0)
    planted_style_low: float = real(2.0, "lowest style of a planted arm")
    planted_style_high: float = real(3.0, "highest style of a planted arm")
    planted_quality: float = real(0.2, "highest quality of a planted arm", low=0.0, high=1.0)
    visibility: float = real(0.3, "scale at which the reward model sees quality")
    ordinary: int = count(18, "number of ordinary arms")
    planted: int = count(6, "number of planted arms", low=0)

    def check(self) -> None:
        """Raise an InputError when planted_style_low exceeds planted_style_high."""
        if np.any(self.planted_style_low > np.asarray(self.planted_style_high)):
            allowed = f"<= planted_style_high = {self.planted_style_high}"
            raise InputError("planted_style_low", self.planted_style_low, allowed)

    def draw(self, key: Key) -> BanditGame:
        """Draw one bandit: ordinary arms first, planted arms last."""
        low, high = self.planted_style_low, self.planted_style_high
        keys = jax.random.split(key, 4)
        ordinary_quality = jax.random.uniform(keys[0], (self.ordinary,))
        ordinary_noise = jax.random.uniform(keys[1], (self.ordinary,))
        ordinary_style = self.correlation * ordinary_quality + self.style_noise * ordinary_noise
        planted_quality = self.planted_quality * jax.random.uniform(keys[2], (self.planted,))
        planted_style = low + (high - low) * jax.random.uniform(keys[3], (self.planted,))
        quality = jnp.concatenate([ordinary_quality, planted_quality])
        style = jnp.concatenate([ordinary_style, planted_style])
        arms = Arm(
            features=jnp.stack([style, self.visibility * quality], axis=1),
            quality=quality,
            planted=(jnp.arange(quality.size) >= self.ordinary).astype(quality.dtype),
        )
        return BanditGame(arms, self.temperature)
