"""A best response with a penalty on rewards away from 0."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from fpo_jax.expect import expect
from fpo_jax.followers.best_response import BestResponse
from fpo_jax.hyperparameters import real
from fpo_jax.types import Game, Key, RewardModel, Scalar, Theta


@struct.dataclass
class Centred(BestResponse):
    """φ⁺ = argmin_φ L(θ, φ) + centring · E_μ[(Σ r_φ)²], the sum over the responses of an item (2312.09244).

    For preferences the term is (r(y) + r(y'))². It fixes the zero of the reward, which comparisons leave open
    (`center_rewards_coefficient` of TRL). For labels it is r(y)², which shrinks rewards on the data.
    """

    by_items = False

    centring: float = real(0.01, "λ, price of the squared rewards", low=0.0)

    def loss(
        self, game: Game, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[jax.Array], jax.Array]:
        """Return the loss with the added term, as a function of the flattened φ."""
        fit = BestResponse.loss(self, game, theta, reward_model, key)
        items = self.training(game, theta, reward_model, key).items
        _, unravel = ravel_pytree(reward_model.phi)

        def loss(phi: jax.Array) -> jax.Array:
            def square(item: PyTree) -> Scalar:
                rewards = [game.reward(unravel(phi), y) for y in self.feedback.sides(item)]
                return jnp.sum(jnp.stack(rewards)) ** 2

            return fit(phi) + self.centring * expect(square, items)

        return loss
