"""A best response that pays for rating the present policy above a reference."""

from collections.abc import Callable

import jax
from flax import struct
from jax.flatten_util import ravel_pytree

from fpo_jax.errors import NotDefined
from fpo_jax.expect import expect
from fpo_jax.followers.best_response import BestResponse
from fpo_jax.hyperparameters import real
from fpo_jax.types import Game, Key, RewardModel, Theta


@struct.dataclass
class PessimisticFit(BestResponse):
    """φ⁺ = argmin_φ L(θ, φ) + pessimism · (E_π[r_φ] − E_ref[r_φ]), ref a reference (RPO, 2405.16436).

    The reference is the game's. The added term depends on θ directly, not only through the data, so it steers
    even at α = 0. It is linear in φ where the reward is, so the curvature of the loss is that of L.
    """

    by_items = False

    pessimism: float = real(0.005, "η, price of reward above the reference's", low=0.0)

    def loss(
        self, game: Game, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[jax.Array], jax.Array]:
        """Return the loss with the added term, as a function of the flattened φ.

        Raises:
            InputError: when there is no reference policy.
        """
        fit = BestResponse.loss(self, game, theta, reward_model, key)
        responses, reference = game.respond(theta, key), game.reference()
        _, unravel = ravel_pytree(reward_model.phi)
        if reference is None:
            allowed = "another one: this environment has no reference policy"
            raise NotDefined("follower", "pessimistic-fit", allowed)

        def loss(phi: jax.Array) -> jax.Array:
            ours, theirs = (
                expect(lambda y: game.reward(unravel(phi), y), of) for of in (responses, reference)
            )
            return fit(phi) + self.pessimism * (ours - theirs)

        return loss
