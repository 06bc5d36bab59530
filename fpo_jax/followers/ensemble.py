"""An ensemble of reward models, each trained by the same follower, on data or from a start of its own.

The members are trained on the game itself, one beside the other (`jax.vmap`); leader and records meet them
together, in the game that `Ensemble.faced` returns.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree, UInt32

from fpo_jax.errors import InputError
from fpo_jax.followers.best_response import BestResponse, Converged
from fpo_jax.followers.resampled import Resampled
from fpo_jax.hyperparameters import choice, count, kebab, part, real, validate
from fpo_jax.numerics.keys import named_key
from fpo_jax.types import (
    Feedback,
    Follower,
    Game,
    Key,
    Phi,
    Responses,
    RewardModel,
    Scalar,
    Theta,
    Training,
)
from fpo_jax.wrappers import COMBINED, Ensembled, ensembled, with_ensembled


class Members(NamedTuple):
    """What an ensemble carries between updates.

    Attributes:
        own: what each member's follower remembers, stacked: a leading axis [members].
        key: by which the members' data differ, as numbers, since a state is stored as numbers.
    """

    own: PyTree
    key: UInt32[Array, " words"]


@struct.dataclass
class Ensemble(Follower):
    """Several reward models in place of one, φ = (φ_1 … φ_n), each retrained by the same follower.

    The leader is paid by what their rewards make together (`Ensembled`). They differ by their `data`, on
    which each trains at weights of its own (`Resampled`), or by their `start`, φ₀ drawn for each. An update
    is differentiated through every member; its loss is the mean of theirs, Σ_i L_i(φ_i) / n. Penalties
    measure gradients of the combined reward by all parameters: that of a mean has 1/n of the squared norm of
    each member's, if these are alike.
    """

    by_items = False

    members: int = count(4, "reward models that are trained", low=2)
    combine: str = choice("mean", "how their rewards make one", COMBINED)
    disagreement: float = real(1.0, "price of the variance of their rewards, for uncertainty", low=0.0)
    differ: str = choice("data", "in what members differ", ("data", "start"))
    member: Follower = part(BestResponse())

    def check(self) -> None:
        """Raise an InputError where the member cannot be one, or does not differ from the others."""
        if not isinstance(self.member, Follower) or isinstance(self.member, Ensemble):
            name = kebab(type(self.member).__name__)
            raise InputError("member", name, "an instance of a follower that is no ensemble itself")
        validate(self.member)
        forgets = isinstance(self.member, BestResponse) and not isinstance(self.member, Converged)
        if self.differ == "start" and forgets and not getattr(self.member, "anchored", False):
            allowed = "data, unless the members are anchored: a best response forgets where it began"
            raise InputError("differ", self.differ, allowed)

    def check_start(self, reward_model: RewardModel) -> None:
        """Raise an InputError where members that are to differ by their start begin alike."""
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(reward_model.phi)]
        if self.differ == "start" and all(np.all(leaf[:, 1:] == leaf[:, :1]) for leaf in leaves):
            raise InputError(
                "differ", self.differ, "data: this environment has one φ₀ only, whatever the key"
            )

    @property
    def alpha(self) -> float:  # type: ignore[override]
        """Return the members' share of on-policy data."""
        return self.member.alpha

    @property
    def feedback(self) -> Feedback:  # type: ignore[override]
        """Return what the members are trained on."""
        return self.member.feedback

    @property
    def brings_anchor(self) -> bool:
        """Say whether the members mix in data of their own."""
        return self.member.brings_anchor

    def faced(self, game: Game) -> Game:
        """Return the game to this ensemble: once, however often it is asked for."""
        return Ensembled(
            game=with_ensembled(game, lambda already: already.game),
            members=self.members,
            combine=self.combine,
            disagreement=self.disagreement,
            differ=self.differ,
        )

    def init(self, game: Game, theta: Theta, phi: Phi, key: Key) -> RewardModel:
        """Return the reward models of every member's `init`, from φ₀ of each, [members, ...].

        Raises:
            InputError: when the game is not `faced`, or there are more members than items to train on.
        """
        fixed = jax.random.key_data(named_key(key, "members"))

        def one(follower: Follower, own_game: Game, own_phi: Phi) -> RewardModel:
            return follower.init(own_game, theta, own_phi, key)

        found = self._over(game, one, phi, fixed)
        self._require_data(game, theta, RewardModel(found.phi, Members(found.memory, fixed)), key)
        return RewardModel(found.phi, Members(found.memory, fixed))

    def update(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return every member after its own update.

        Raises:
            InputError: when the game is not `faced`.
        """
        return self._retrained(
            game, reward_model, lambda member, own, model: member.update(own, theta, model, key)
        )

    def limit(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return every member at the limit of its updates."""
        return self._retrained(
            game, reward_model, lambda member, own, model: member.limit(own, theta, model, key)
        )

    def residual(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Scalar:
        """Return the largest of the members' residuals."""

        def one(member: Follower, own: Game, model: RewardModel) -> Array:
            return jnp.asarray(member.residual(own, theta, model, key))

        return jnp.max(self._over(game, one, _stacked(reward_model), reward_model.memory.key))

    def calibrated_weight(self, horizon: int) -> float | None:
        """Return the member's weight, times n where the combined reward's squared norms are 1/n of its own.

        None for `uncertainty`, and where the member has none.
        """
        weight = self.member.calibrated_weight(horizon)
        if weight is None or self.combine == "uncertainty":
            return None
        return weight if self.combine == "worst" else self.members * weight

    def loss(
        self, game: Game, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[Array], Scalar] | None:
        """Return the mean of the members' losses, of all parameters flattened; None where theirs is."""
        first = jax.tree.map(lambda leaf: leaf[0], _stacked(reward_model))
        if self.member.loss(_own(game), theta, first, key) is None:
            return None
        _, unravel = ravel_pytree(reward_model.phi)

        def one(member: Follower, own: Game, both: tuple[RewardModel, Phi]) -> Scalar:
            loss: Any = member.loss(own, theta, both[0], key)
            return loss(ravel_pytree(both[1])[0])

        def loss(phi: Array) -> Scalar:
            both = _stacked(reward_model), unravel(phi)
            return jnp.mean(self._over(game, one, both, reward_model.memory.key))

        return loss

    def training(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Training | None:
        """Return the items at the mean of the members' weights, and the member's ridge over n.

        That ridge is the curvature of the mean loss, by which the leverage of a mean is that of one member.
        """

        def one(member: Follower, own: Game, model: RewardModel) -> Training | None:
            return member.training(own, theta, model, key)

        found = self._over(game, one, _stacked(reward_model), reward_model.memory.key)
        if found is None:
            return None
        items = _mean_weights(found.items)
        return Training(items, jnp.mean(jnp.asarray(found.ridge)) / self.members)

    def labelled(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Responses | None:
        """Return the items of the members, at the mean of their weights."""

        def one(member: Follower, own: Game, model: RewardModel) -> Responses | None:
            return member.labelled(own, theta, model, key)

        items = self._over(game, one, _stacked(reward_model), reward_model.memory.key)
        return None if items is None else _mean_weights(items)

    def _retrained(
        self, game: Game, model: RewardModel, one: Callable[[Follower, Game, RewardModel], RewardModel]
    ) -> RewardModel:
        found = self._over(game, one, _stacked(model), model.memory.key)
        return RewardModel(found.phi, model.memory._replace(own=found.memory))

    def _over(self, game: Game, one: Callable[..., Any], stacked: PyTree, key: Array) -> Any:
        """Return one(follower, game, of this member) of every member."""
        own_game = _own(game)

        def of(member: Array, of_member: PyTree) -> Any:
            if self.differ == "start":
                return one(self.member, own_game, of_member)
            feedback = Resampled(self.member.feedback, key, member)
            return one(self.member.replace(feedback=feedback), own_game, of_member)  # type: ignore[attr-defined]

        return jax.vmap(of)(jnp.arange(self.members), stacked)

    def _require_data(self, game: Game, theta: Theta, model: RewardModel, key: Key) -> None:
        """Raise an InputError where members that differ by their data are more than its items."""
        training = jax.eval_shape(lambda: self.training(game, theta, model, key))
        if self.differ == "data" and training is not None and self.members > training.items.w.size:
            number = training.items.w.size
            allowed = (
                f"at most the {number} item{'s' * (number > 1)} of an update, unless members differ by start"
            )
            raise InputError("members", self.members, allowed)


def _own(game: Game) -> Game:
    """Return the game as one member sees it.

    Raises:
        InputError: when the game is not the ensemble's.
    """
    if ensembled(game) is None:
        allowed = "as the ensemble faces it: ensemble.faced(game), which a run does itself"
        raise InputError("game", type(game).__name__, allowed)
    return with_ensembled(game, lambda ours: ours.game)


def _stacked(model: RewardModel) -> RewardModel:
    """Return the members' reward models, stacked.

    Raises:
        InputError: when the reward model is not an ensemble's.
    """
    if not isinstance(model.memory, Members):
        raise InputError("reward_model.memory", model.memory, "what Ensemble.init returns")
    return RewardModel(model.phi, model.memory.own)


def _mean_weights(items: Responses) -> Responses:
    """Return the items of all members, which differ in their weights alone, at the mean of these."""
    return Responses(jax.tree.map(lambda leaf: leaf[0], items.y), jnp.mean(items.w, axis=0))
