"""A best response to the labels bought at this update and at earlier ones."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Int

from fpo_jax.expect import fresh_items, mix
from fpo_jax.followers.best_response import BestResponse
from fpo_jax.followers.buffer import reservoir
from fpo_jax.hyperparameters import choice, count
from fpo_jax.numerics.keys import named_key
from fpo_jax.numerics.rows import pushed
from fpo_jax.types import Game, Key, Phi, Responses, RewardModel, Scalar, Theta, Training


class Labelled(NamedTuple):
    """The memory of a replayed best response between updates.

    Attributes:
        anchor: φ is pulled toward it.
        buffer: items, [places], those of an update of mean weight 1; an empty place has weight 0.
        total: items bought so far.
    """

    anchor: Phi
    buffer: Responses
    total: Int[Array, ""]


@struct.dataclass
class Replayed(BestResponse):
    """The best response to (1 − α)·offline + α·kept, where each kept update has the same weight.

    Each update buys labels for `label_budget` items of π_θ, or without a budget for all items by their
    weights; the first buys those of π_θ₀. It keeps (Wolf, Kirk, Musolesi, 2505.18126):

        keep last      only these
             sampled   a uniform sample of the same size from all so far
             all       those of the last `updates` updates
    """

    keep: str = choice("all", "which labels are kept", ("last", "sampled", "all"))
    updates: int = count(20, "how many updates' labels to keep, when keep is all")

    def init(self, game: Game, theta: Theta, phi: Phi, key: Key) -> RewardModel:
        """Return the best response to the labels of the initial policy."""
        anchor = phi if self.anchored else jax.tree.map(jnp.zeros_like, phi)
        fresh = jax.eval_shape(lambda: self._fresh(game, theta, key))
        places = fresh.w.shape[0] * self._updates_kept
        empty = jax.tree.map(lambda leaf: jnp.zeros((places, *leaf.shape[1:]), leaf.dtype), fresh)
        return self.update(game, theta, RewardModel(phi, Labelled(anchor, empty, jnp.asarray(0))), key)

    def anchor(self, reward_model: RewardModel) -> Phi:
        """Return φ_a."""
        return reward_model.memory.anchor

    def update(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return the best response after the fresh labels have joined the kept ones."""
        found = super().update(game, theta, reward_model, key)
        kept = jax.lax.stop_gradient(self._kept(game, theta, reward_model, key))
        total = reward_model.memory.total + kept.w.shape[0] // self._updates_kept
        return RewardModel(found.phi, found.memory._replace(buffer=kept, total=total))

    def training(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Training:
        """Return the offline items, the kept items, and the ridge, whose curvature is 2λ."""
        kept = self._kept(game, theta, reward_model, key)
        return Training(self._mixed(game, kept, key), 2.0 * self.ridge)

    def residual(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Scalar:
        """Return how far φ is from the best response to the kept items; no others are drawn."""
        data = self._mixed(game, reward_model.memory.buffer, key)
        return self.away(self.loss_on(game, reward_model, data), reward_model)

    @property
    def _updates_kept(self) -> int:
        """Return for how many updates the buffer has places."""
        return self.updates if self.keep == "all" else 1

    def _mixed(self, game: Game, kept: Responses, key: Key) -> Responses:
        on_policy = kept._replace(w=kept.w / jax.lax.stop_gradient(jnp.sum(kept.w)))
        return mix(self.feedback.offline(game, key), on_policy, self.alpha)

    def _fresh(self, game: Game, theta: Theta, key: Key) -> Responses:
        """Return the items that an update buys, with mean weight 1; they keep their score."""
        paid = fresh_items(game, theta, key, self.feedback)
        return paid._replace(w=paid.w * paid.w.shape[0])

    def _kept(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Responses:
        """Return the buffer after the fresh items have joined it."""
        fresh, memory = self._fresh(game, theta, key), reward_model.memory
        if self.keep == "sampled":
            return reservoir(memory.buffer, fresh, memory.total, named_key(key, "places"))
        return pushed(memory.buffer, fresh)
