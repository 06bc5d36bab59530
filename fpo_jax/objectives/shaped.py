"""Reward shaping: a leader with diminishing returns on reward above a reference."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from fpo_jax.expect import expect
from fpo_jax.hyperparameters import choice, real
from fpo_jax.objectives.held import Held
from fpo_jax.steering import foresight_keys
from fpo_jax.types import Follower, Game, Key, Phi, Responses, RewardModel, Scalar, Theta


@struct.dataclass
class Shaped(Held):
    """E[r₀ + shape(r − r₀)] − cost, r₀ the mean reward of the reference policy at the same prompt.

        form sigmoid    (4/k) (σ(k (r − r₀)) − ½)       of slope 1 at r₀, and within ±2/k
             clip       r − r₀ held to ±1/k

    With k = weight; at 0 the reward itself, the myopic objective. The sigmoid at k = 1 is PAR (arXiv
    2502.18770) up to its scale of ¼ and a constant. PAR averages the sigmoid over rewards of reference
    responses; here the sigmoid takes their mean. In a process r₀ is one number, the mean over the other
    policy's occupancy. r₀ is detached.
    """

    weight: float = real(1.0, "sharpness k; 0 is the myopic objective", low=0.0)
    form: str = choice("sigmoid", "how the reward is bounded", ("sigmoid", "clip"))

    knows: ClassVar[str] = "nothing"

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return the expectation of the shaped reward minus the cost."""
        evaluation, phi = foresight_keys(key).evaluation, reward_model.phi
        baselines = self.baselines(game, phi, self.other(game, theta, evaluation))
        responses = game.respond(theta, evaluation)
        each = jnp.repeat(baselines, responses.w.size // game.prompts)
        paid = expect(
            lambda y: self.paid(game.reward(phi, y[0]), y[1]), Responses((responses.y, each), responses.w)
        )
        return paid - game.cost(theta, responses)

    def baselines(self, game: Game, phi: Phi, other: Responses) -> Float[Array, " prompts"]:
        """Return a policy's mean reward at each prompt, detached; 0 at a prompt without responses."""
        rewards = jax.vmap(lambda y: game.reward(phi, y))(other.y)
        w, rewarded = (x.reshape(game.prompts, -1) for x in (other.w, other.w * rewards))
        mass = jnp.sum(w, axis=1)
        return jax.lax.stop_gradient(jnp.sum(rewarded, axis=1) / jnp.where(mass > 0, mass, 1.0))

    def paid(self, reward: Scalar, baseline: Scalar) -> Scalar:
        """Return the shaped reward, given the other policy's."""
        sharp, gain = self.weight > 0, reward - baseline
        k = jnp.where(sharp, self.weight, 1.0).astype(gain.dtype)
        if self.form == "sigmoid":
            bounded = 2.0 / k * jnp.tanh(0.5 * k * gain)  # which is the sigmoid's, and exact for small k
        else:
            bounded = jnp.clip(gain, -1.0 / k, 1.0 / k)
        return jnp.where(sharp, baseline + bounded, reward)
