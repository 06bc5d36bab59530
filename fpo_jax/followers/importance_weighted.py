"""A best response to offline data, reweighted as if the present policy had drawn them."""

import jax.numpy as jnp
from flax import struct

from fpo_jax.errors import NotDefined
from fpo_jax.expect import annotated, mix
from fpo_jax.followers.best_response import BestResponse
from fpo_jax.hyperparameters import real
from fpo_jax.types import Game, Key, RewardModel, Theta, Training


@struct.dataclass
class ImportanceWeighted(BestResponse):
    """The best response to offline data at weights ∝ μ · min(π_θ/μ, clip), which sum to 1 (OCRM, 2507.15507).

    π_θ and μ are weights of items; for preferences, of the pairs that the feedback forms. Responses that the
    offline data lack stay unseen. The weights are differentiated, so the policy steers the reward model even
    at α = 0, where no new data are labelled. If the policy gives the offline items no weight at all, they
    keep their own weights.
    """

    by_items = False

    clip: float = real(10.0, "largest ratio of the policy's weight to the offline one", low=0.0, open=True)

    def training(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Training:
        """Return the offline items at their new weights and fresh ones, and the ridge.

        Raises:
            InputError: when the policy and the offline data do not weight the same items.
        """
        feedback = self.feedback
        fresh = feedback.gather(game, theta, game.respond(theta, key), key)
        offline = feedback.offline(game, key)
        if offline is None or game.places is None or offline.w.size != fresh.w.size:
            allowed = "another one: this policy gives no weights to the items of the offline data"
            raise NotDefined("follower", "importance-weighted", allowed)
        kept = jnp.minimum(fresh.w, self.clip * offline.w)
        total = jnp.sum(kept)
        weights = jnp.where(total > 0, kept / jnp.where(total > 0, total, 1.0), offline.w)
        items = mix(offline._replace(w=weights), annotated(fresh, feedback, key), self.alpha)
        return Training(items, 2.0 * self.ridge)
