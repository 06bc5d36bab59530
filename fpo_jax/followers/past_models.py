"""Reward models of several updates that together pay the leader, as in some iterated RLHF."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, PyTree

from fpo_jax.errors import InputError
from fpo_jax.followers.ensemble import Ensemble
from fpo_jax.types import Game, Key, Phi, Responses, RewardModel, Scalar, Theta, Training
from fpo_jax.wrappers import with_ensembled


@struct.dataclass
class PastModels(Ensemble):
    """The reward models of the last `members` updates, oldest first (Wolf, Kirk, Musolesi, 2505.18126).

    An update retrains the newest one as `member` does and forgets the oldest. The first model fills the
    places of those that do not exist yet. Their combined reward pays the leader (`Ensembled`): `mean` gives
    each an equal share, and `worst` takes the lowest. φ⁺ depends on θ only through the newest.
    """

    def check(self) -> None:
        """Raise an InputError when the member is an ensemble, or models should differ in their start."""
        if self.differ != "data":
            raise InputError("differ", self.differ, "data: the members are one reward model at several times")
        super().check()

    def init(self, game: Game, theta: Theta, phi: Phi, key: Key) -> RewardModel:
        """Return the member's first reward model in every place."""
        first = jax.tree.map(lambda leaf: leaf[0], phi)
        model = self.member.init(_own(game), theta, first, key)
        return RewardModel(
            jax.tree.map(lambda leaf: jnp.stack([leaf] * self.members), model.phi), model.memory
        )

    def update(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return the reward models with the newest retrained and the oldest dropped."""
        return self._with(reward_model, self.member.update(_own(game), theta, _newest(reward_model), key))

    def limit(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return the limit of the member's updates in every place."""
        found = self.member.limit(_own(game), theta, _newest(reward_model), key)
        return RewardModel(
            jax.tree.map(lambda leaf: jnp.stack([leaf] * self.members), found.phi), found.memory
        )

    def residual(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Scalar:
        """Return the residual of the newest."""
        return jnp.asarray(self.member.residual(_own(game), theta, _newest(reward_model), key))

    def calibrated_weight(self, horizon: int) -> None:
        """Return None: no single weight matches a step of one model among several."""
        return None

    def loss(
        self, game: Game, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[Array], Scalar] | None:
        """Return None: an update shifts the older models and minimises nothing over them."""
        return None

    def training(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Training | None:
        """Return what the newest trains on next."""
        return self.member.training(_own(game), theta, _newest(reward_model), key)

    def labelled(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Responses | None:
        """Return the items that the newest pays for."""
        return self.member.labelled(_own(game), theta, _newest(reward_model), key)

    def _with(self, old: RewardModel, newest: RewardModel) -> RewardModel:
        def shifted(models: Array, new: Array) -> Array:
            return jnp.concatenate([models[1:], new[None]])

        return RewardModel(jax.tree.map(shifted, old.phi, newest.phi), newest.memory)


def _newest(model: RewardModel) -> RewardModel:
    return RewardModel(jax.tree.map(lambda leaf: leaf[-1], model.phi), model.memory)


def _own(game: Game) -> PyTree:
    return with_ensembled(game, lambda ours: ours.game)
