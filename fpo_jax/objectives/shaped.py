"""Reward shaping: a leader that is paid less and less for more reward than a reference has."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import PyTree

from fpo_jax.expect import expect
from fpo_jax.hyperparameters import choice, real
from fpo_jax.objectives.held import Held, held_choice, lag_count
from fpo_jax.steering import foresight_keys
from fpo_jax.types import Follower, Game, Key, RewardModel, Scalar, Theta


@struct.dataclass
class Shaped(Held):
    """E[shape(r − r₀)] − cost, r₀ = E[r] of the policy that it is held to, detached (PAR, arXiv 2502.18770).

        form sigmoid    (4/k) (σ(k (r − r₀)) − ½)       of slope 1 at r₀, and within ±2/k
             clip       r − r₀ held to ±1/k

    With k = weight; at 0 it is r − r₀, the myopic objective. PAR is the sigmoid at k = 1, up to its scale.
    """

    weight: float = real(1.0, "sharpness k; 0 is the myopic objective", low=0.0)
    form: str = choice("sigmoid", "how the reward is bounded", ("sigmoid", "clip"))
    to: str = held_choice()
    lag: int = lag_count()
    policy: PyTree = struct.field(default=None, kw_only=True)

    knows: ClassVar[str] = "nothing"

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return the expectation of the shaped reward, less the cost."""
        evaluation, phi = foresight_keys(key).evaluation, reward_model.phi
        other = self.other(game, theta, evaluation)
        baseline = jax.lax.stop_gradient(expect(lambda y: game.reward(phi, y), other))
        responses = game.respond(theta, evaluation)
        shaped = expect(lambda y: self.shape(game.reward(phi, y) - baseline), responses)
        return shaped - game.cost(theta, responses)

    def shape(self, gain: Scalar) -> Scalar:
        """Return what is paid for a reward so far above the other policy's."""
        sharp = self.weight > 0
        k = jnp.where(sharp, self.weight, 1.0).astype(gain.dtype)
        if self.form == "sigmoid":
            bounded = 4.0 / k * (jax.nn.sigmoid(k * gain) - 0.5)
        else:
            bounded = jnp.clip(gain, -1.0 / k, 1.0 / k)
        return jnp.where(sharp, bounded, gain)
