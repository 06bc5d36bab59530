"""An ensemble of reward models, each trained by the same follower, on its own data or from its own start.

The members are trained on the game itself, side by side (`jax.vmap`). Leader and records see them combined,
in the game that `Ensemble.faced` returns.
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
        key: makes the members' data differ; stored as numbers, as all of a state is.
    """

    own: PyTree
    key: UInt32[Array, " words"]


@struct.dataclass
class Ensemble(Follower):
    """Several reward models in place of one, φ = (φ_1 … φ_n), each retrained by the same follower.

    Their combined reward pays the leader (`Ensembled`). The members differ in their `data`, whose weights
    each draws for itself (`Resampled`), or in their `start`, φ₀ drawn for each. An update is differentiated
    through every member; its loss is the mean of theirs, Σ_i L_i(φ_i) / n. Penalties measure gradients of the
    combined reward with respect to all parameters. For a mean of n similar members its squared norm is 1/n of
    each member's.
    """

    by_items = False

    members: int = count(4, "number of reward models", low=2)
    combine: str = choice("mean", "how their rewards are combined", COMBINED)
    disagreement: float = real(1.0, "price of the variance of their rewards (uncertainty)", low=0.0)
    differ: str = choice("data", "what the members differ in", ("data", "start"))
    member: Follower = part(BestResponse())

    def check(self) -> None:
        """Raise an InputError when the follower cannot be a member, or members would be identical."""
        if not isinstance(self.member, Follower) or isinstance(self.member, Ensemble):
            name = kebab(type(self.member).__name__)
            raise InputError("member", name, "an instance of a follower that is not itself an ensemble")
        validate(self.member)
        forgets = isinstance(self.member, BestResponse) and not isinstance(self.member, Converged)
        if self.differ == "start" and forgets and not getattr(self.member, "anchored", False):
            allowed = "data, unless the members are anchored: a best response does not depend on its start"
            raise InputError("differ", self.differ, allowed)

    def check_start(self, reward_model: RewardModel) -> None:
        """Raise an InputError when members that should differ in their start begin alike."""
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(reward_model.phi)]
        if self.differ == "start" and all(np.all(leaf[:, 1:] == leaf[:, :1]) for leaf in leaves):
            raise InputError("differ", self.differ, "data: this environment has the same φ₀ for every key")

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
        """Say whether the members mix in their own data."""
        return self.member.brings_anchor

    def faced(self, game: Game) -> Game:
        """Return the game as this ensemble combines it; calling it again changes nothing."""
        return Ensembled(
            game=with_ensembled(game, lambda already: already.game),
            members=self.members,
            combine=self.combine,
            disagreement=self.disagreement,
            differ=self.differ,
        )

    def init(self, game: Game, theta: Theta, phi: Phi, key: Key) -> RewardModel:
        """Return the reward models from every member's `init`, [members, ...].

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
        """Return the member's weight, times n where squared norms of the combined reward are 1/n as large.

        Return None for `uncertainty`, and where the member has no such weight.
        """
        weight = self.member.calibrated_weight(horizon)
        if weight is None or self.combine == "uncertainty":
            return None
        return weight if self.combine == "worst" else self.members * weight

    def loss(
        self, game: Game, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[Array], Scalar] | None:
        """Return the mean of the members' losses, a function of all parameters flattened, or None."""
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

        That ridge is the curvature of the mean loss. With it the leverage of a mean equals that of one
        member.
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
        """Return one(follower, game, …) for every member."""
        own_game = _own(game)

        def of(member: Array, of_member: PyTree) -> Any:
            if self.differ == "start":
                return one(self.member, own_game, of_member)
            feedback = Resampled(self.member.feedback, key, member)
            return one(self.member.replace(feedback=feedback), own_game, of_member)  # type: ignore[attr-defined]

        return jax.vmap(of)(jnp.arange(self.members), stacked)

    def _require_data(self, game: Game, theta: Theta, model: RewardModel, key: Key) -> None:
        """Raise an InputError when members that differ in their data are more than the items."""
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
        allowed = "ensemble.faced(game), which a run calls itself"
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
    """Return the items at the mean of the members' weights, which is all they differ in."""
    return Responses(jax.tree.map(lambda leaf: leaf[0], items.y), jnp.mean(items.w, axis=0))
