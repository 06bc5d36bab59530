"""What a leader without an oracle knows: the labels that were paid for at the last updates."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, PyTree

from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import count, kebab
from fpo_jax.numerics.rows import one_row, pushed
from fpo_jax.types import Follower, Game, Key, Objective, Responses, RewardModel, State, Theta


class Paid(NamedTuple):
    """Items with their labels.

    Attributes:
        fresh: of the policy, [kept, n, ...] the oldest update first; of weights 0 before there were any.
        offline: of the offline data, as the last update had them; None where there are none.
    """

    fresh: Responses
    offline: Responses | None

    def recent(self) -> Responses:
        """Return the items of the policy as one sample, whose weights sum to the number of updates kept."""
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), self.fresh)

    def counted(self) -> tuple[PyTree, Float[Array, " m"]]:
        """Return all items, and of how many labels each stands: its weight times the items of its update.

        Those of the offline data stand first.
        """
        recent, n = self.recent(), self.fresh.w.shape[1]
        if self.offline is None:
            return recent.y, n * recent.w
        both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), self.offline.y, recent.y)
        return both, jnp.concatenate([self.offline.w.size * self.offline.w, n * recent.w])

    def held_out(self) -> "Paid":
        """Return the labels that the last update was not trained on: its own and the offline ones count 0."""
        offline = self.offline
        if offline is not None:
            offline = offline._replace(w=jnp.zeros_like(offline.w))
        return Paid(self.fresh._replace(w=self.fresh.w.at[-1].set(0.0)), offline)


@struct.dataclass
class Remembering(Objective):
    """An objective that keeps the items of the last updates with their labels, and detaches them.

    Attributes:
        kept: updates whose labels are kept.
        paid: the labels, which the loop hands over by `for_iteration`; None before.
    """

    kept: int = count(10, "updates whose labels the leader keeps")
    paid: Paid | None = struct.field(default=None, kw_only=True)

    @property
    def keeps(self) -> int:  # type: ignore[override]
        """Return for how many updates labels are kept."""
        return self.kept

    def begin(self, game: Game, follower: Follower, state: State, key: Key) -> Paid:
        """Return the labels of the offline data alone."""
        found = bought(game, follower, state.theta, state.reward_model, key)
        none = jax.tree.map(lambda leaf: jnp.zeros((self.kept, *leaf.shape[1:]), leaf.dtype), found.fresh)
        return found._replace(fresh=none)

    def remember(self, game: Game, follower: Follower, begun: State, ended: State, key: Key) -> Paid:
        """Return the labels of the last updates, those that the coming one pays for among them."""
        found = bought(game, follower, ended.theta, ended.reward_model, key)
        return found._replace(fresh=pushed(begun.earlier.fresh, found.fresh))

    def for_iteration(self, game: Game, follower: Follower, state: State, key: Key) -> Objective:
        """Return the objective with the labels that were paid for so far."""
        return self.replace(paid=state.earlier)  # type: ignore[attr-defined]

    def labels(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Paid:
        """Return the labels that are known; outside of a run those of one update on π_θ, by this key."""
        return bought(game, follower, theta, reward_model, key) if self.paid is None else self.paid


def bought(game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key) -> Paid:
    """Return what the update with this key pays for, as one update's, detached.

    Raises:
        InputError: where the follower cannot tell.
    """
    theta, reward_model = jax.lax.stop_gradient((theta, reward_model))
    items = follower.labelled(game, theta, reward_model, key)
    if items is None:
        name = kebab(type(follower).__name__)
        raise InputError("follower", name, "one that tells what is labelled, by a method `labelled`")
    return jax.lax.stop_gradient(Paid(one_row(items), follower.feedback.offline(game, key)))
