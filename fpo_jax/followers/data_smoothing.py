"""A best response to labels that move toward the reward model's own predictions."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from fpo_jax.errors import InputError, NotDefined
from fpo_jax.expect import expect, squared_norm
from fpo_jax.followers.best_response import BestResponse
from fpo_jax.hyperparameters import real
from fpo_jax.types import Follower, Game, Key, Phi, Responses, RewardModel, Scalar, Theta


class SmoothedLabels(NamedTuple):
    """What the follower carries between updates.

    Attributes:
        anchor: φ_a.
        labels: those it was last trained on, first of the offline items, then of the policy's.
    """

    anchor: Phi
    labels: Float[Array, " items"]


@struct.dataclass
class DataSmoothing(BestResponse):
    """The best response to soft labels, y ← (1 − β) y + β · prediction before each update.

    Iterative data smoothing (Zhu, Jordan, Jiao, arXiv 2401.16335), with a best response in place of its
    gradient step. The prediction is that of the present reward model: r_φ for a label, σ(m) for a preference.
    The first labels are the annotator's, drawn once if they are drawn. Labels of little weight are forgotten
    first, and in the end all are, because a ridge shrinks the predictions that the labels follow. Over many
    updates `replaced` has to be small.
    """

    by_items = False

    replaced: float = real(0.01, "β, share of a label that the prediction replaces", low=0.0, high=1.0)

    def check(self) -> None:
        """Raise an InputError when the items of an update are drawn, since then no label can be kept."""
        if self.feedback.label_budget is not None:
            allowed = "omitted, because data smoothing keeps the label of every item"
            raise InputError("label_budget", self.feedback.label_budget, allowed)

    def anchor(self, reward_model: RewardModel) -> Phi:
        """Return φ_a."""
        return reward_model.memory.anchor

    def init(self, game: Game, theta: Theta, phi: Phi, key: Key) -> RewardModel:
        """Return the best response to the annotator's own labels.

        Raises:
            InputError: when the responses change from update to update, since then no label can be kept.
        """
        if game.places is None:
            allowed = "another one: this environment has no fixed responses, so no labels can be kept"
            raise NotDefined("follower", "data-smoothing", allowed)
        anchor = phi if self.anchored else jax.tree.map(jnp.zeros_like, phi)
        items = self.training(game, theta, RewardModel(phi), key).items
        labels = jax.vmap(lambda item: self.feedback.target(game, item))(items.y)
        start = RewardModel(phi, SmoothedLabels(anchor, labels))
        return BestResponse.update(self._as_they_are(), game, theta, start, key)

    def update(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return the best response to the smoothed labels, and keep these."""
        items = self.training(game, theta, reward_model, key).items
        smoothed = reward_model.memory._replace(labels=self.labels(game, items, reward_model))
        smoothed_model = reward_model._replace(memory=smoothed)
        return BestResponse.update(self._as_they_are(), game, theta, smoothed_model, key)

    def labels(self, game: Game, items: Responses, reward_model: RewardModel) -> Float[Array, " items"]:
        """Return the labels that the next update trains on; a residual is prediction − label."""

        def prediction(item: PyTree) -> Scalar:
            margin = self.feedback.margin(game, reward_model.phi, item)
            return self.feedback.residual(margin, jnp.zeros_like(margin))

        share = jnp.asarray(self.replaced, reward_model.memory.labels.dtype)
        return (1.0 - share) * reward_model.memory.labels + share * jax.vmap(prediction)(items.y)

    def residual(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Scalar:
        """Return the residual of the loss on the labels of the last update."""
        return BestResponse.residual(self._as_they_are(), game, theta, reward_model, key)

    def limit(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Refuse, as `Follower.limit` does, because labels change with every update."""
        return Follower.limit(self, game, theta, reward_model, key)

    def loss(
        self, game: Game, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[jax.Array], jax.Array]:
        """Return the loss of the next update, on smoothed labels, as a function of the flattened φ."""
        items = self.training(game, theta, reward_model, key).items
        data = Responses((items.y, self.labels(game, items, reward_model)), items.w)
        anchor, unravel = ravel_pytree(self.anchor(reward_model))

        def loss(phi: jax.Array) -> jax.Array:
            def of_one(one: tuple[PyTree, Scalar]) -> Scalar:
                item, label = one
                return self.feedback.loss(self.feedback.margin(game, unravel(phi), item), label)

            return expect(of_one, data) + self.ridge * squared_norm(phi - anchor)

        return loss

    def _as_they_are(self) -> "DataSmoothing":
        """Return the same follower without smoothing."""
        return self.replace(replaced=0.0)  # type: ignore[attr-defined]
