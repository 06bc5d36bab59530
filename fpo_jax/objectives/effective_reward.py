"""Effective rewards: the value of a response to the leader, including its influence on the follower."""

import copy
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from fpo_jax.errors import InputError
from fpo_jax.expect import expect, item_loss
from fpo_jax.feedback import OtherFeedback
from fpo_jax.hyperparameters import kebab
from fpo_jax.objectives.implicit import Implicit, minimised_loss
from fpo_jax.steering import foresight_keys
from fpo_jax.types import (
    Cost,
    Estimate,
    Follower,
    Game,
    Key,
    Objective,
    Responses,
    RewardModel,
    Scalar,
    Theta,
)
from fpo_jax.wrappers import Reweighted


@struct.dataclass
class _Shifted(Reweighted):
    shift: Float[Array, " n"]

    def weights(self, w: Array) -> Array:
        return w + self.shift


def effective_rewards(
    objective: Objective, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
) -> Float[Array, " n"]:
    """Return the effective reward of every response under an objective V: r̃(y_i) = ∂V/∂w_i (ours).

    For penalties on labels it is r − weight · penalty, for exact foresight of a best response
    r + α ⟨ḡ, I(y)⟩ (paper); for preferences it counts a response on both sides of a comparison.
    """
    weights = jax.eval_shape(game.respond, theta, foresight_keys(key).evaluation).w

    def value(shift: Array) -> Scalar:
        return objective.value(_Shifted(game, shift), follower, theta, reward_model, key)

    return jax.grad(value)(jnp.zeros(weights.shape, weights.dtype))


@struct.dataclass
class EffectiveReward(Implicit):
    """dF/dθ as a policy gradient on the effective reward r̃(y) = r_φ⁺(y) + share · ⟨ḡ, I(y)⟩ (paper).

    I(y) = −H⁻¹ ∇_φ ℓ(y) is the influence of a response, and ḡ = E_π[∇_φ r]. The share is that of the present
    policy in the follower's data (`policy_share`): α, or less if a buffer holds earlier draws. The function
    r̃ is held fixed; y and its weight are differentiated. On preferences ℓ and r̃ belong to a comparison (y,
    y'), and both sides carry gradient.
    """

    def reward(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> tuple[Callable[[PyTree], Scalar], Cost]:
        """Return r̃ as a function of one item of the follower's feedback, and the cost of the solve."""
        if not follower.by_items:
            allowed = "one that depends on the policy only through its items, for an effective reward"
            raise InputError("follower", kebab(type(follower).__name__), allowed)
        at = self.linearise(game, follower, theta, reward_model, key)
        feedback = follower.feedback
        share = policy_share(follower, game, theta, reward_model, foresight_keys(key).data)

        def effective(item: PyTree) -> Scalar:
            def reward_and_loss(p: Float[Array, " n"]) -> tuple[Scalar, Scalar]:
                phi = at.unravel(p)
                return game.reward(phi, feedback.sides(item)[0]), item_loss(game, phi, item, feedback)

            (reward, _), (_, slope) = jax.jvp(reward_and_loss, (at.phi,), (at.sensitivity,))
            return reward - share * slope

        return effective, at.cost

    def estimate(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Estimate:
        """Return ∇_θ (E_{π_θ}[r̃] − cost) and the cost of the solve.

        NaN if the solve fails, or if the follower gives the policy's items other weights than the policy
        does.

        Raises:
            InputError: when the follower's update minimises nothing.
        """
        effective, cost = self.reward(game, follower, theta, reward_model, key)
        keys = foresight_keys(key)

        def value(t: Theta) -> Scalar:
            responses = game.respond(t, keys.evaluation)
            items = follower.feedback.gather(game, t, responses, keys.data)
            return expect(effective, items) - game.cost(t, responses)

        return Estimate(jax.grad(value)(theta), cost)


@struct.dataclass
class _Counting(OtherFeedback):
    """A feedback with which a loss counts its items, with other weights for those of the policy."""

    scale: ClassVar[float] = 1.0
    quadratic: ClassVar[bool] = True

    factor: float  # multiplies the weights of the policy's items
    each: float  # cost of an item
    own: float  # share of its own loss added to this cost

    def gather(self, game: Game, theta: Theta, responses: Responses, key: Key) -> Responses:
        items = self.feedback.gather(game, theta, responses, key)
        return items._replace(w=self.factor * items.w)

    def score(self, item: PyTree) -> float:
        return 1.0

    def loss(self, margin: Scalar, target: Scalar) -> Scalar:
        return self.each + self.own * self.feedback.loss(margin, target)

    def residual(self, margin: Scalar, target: Scalar) -> Scalar:
        return self.own * self.feedback.residual(margin, target)

    def residual_after(self, margin: Scalar, target: Scalar, step: Scalar) -> Scalar:
        return self.own * self.feedback.residual_after(margin, target, self.own * step)


def policy_share(follower: Follower, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Scalar:
    """Return the weight of the present policy's items in the follower's loss, measured on that loss itself.

    If each item costs 1 instead of ℓ, then L = Ω + Σ_j μ_j. The share is the amount by which this falls when
    the policy's items get weight 0. An effective reward treats it as one number that multiplies every item's
    own weight. So it is NaN in three cases (ours): doubling the weights does not add the same amount again,
    to the count and to L, as when weights are normalised; another policy has another share, as when the
    weight depends on the item; or nothing is counted, because the items are not those of the follower's
    feedback.
    """
    phi, _ = ravel_pytree(reward_model.phi)

    def loss(t: Theta, factor: float, each: float = 0.0, own: float = 0.0) -> Scalar:
        counting = copy.copy(follower)  # whose feedback need not be a field
        object.__setattr__(counting, "feedback", _Counting(follower.feedback, factor, each, own))
        return minimised_loss(counting, game, t, reward_model, key)(phi)

    def count(t: Theta, factor: float) -> Scalar:
        return loss(t, factor, each=1.0) - loss(t, factor)

    flat, unravel = ravel_pytree(theta)
    other = unravel(flat + 0.3 * jnp.cos(jnp.arange(flat.size, dtype=flat.dtype)))
    none, once, twice = (count(theta, factor) for factor in (0.0, 1.0, 2.0))
    share = once - none
    losses = [loss(theta, factor, own=1.0) for factor in (0.0, 1.0, 2.0)]
    alike = jnp.stack(
        [
            jnp.stack([twice - once, share]),
            jnp.stack([count(other, 1.0) - count(other, 0.0), share]),
            jnp.stack([losses[2] - losses[1], losses[1] - losses[0]]),
        ]
    )
    scale = jnp.stack([once, once, jnp.max(jnp.abs(jnp.stack(losses)))])
    rounding = jnp.sqrt(jnp.finfo(share.dtype).eps) * jnp.abs(scale)
    counted = (once > 0) & jnp.all(jnp.abs(alike[:, 0] - alike[:, 1]) <= rounding)
    return jnp.where(counted, share, jnp.nan)
