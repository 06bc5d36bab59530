"""A follower that also keeps the data that monitors of a run need."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import struct
from jaxtyping import Array, PyTree

from fpo_jax.errors import InputError
from fpo_jax.followers.best_response import BestResponse
from fpo_jax.followers.ensemble import Ensemble
from fpo_jax.hyperparameters import kebab, part, validate
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


class Kept(NamedTuple):
    """The data kept beside the reward model.

    Attributes:
        own: what the follower itself remembers.
        first: θ₀.
        before: φ before the last update.
        members: reward models of an ensemble that is retrained alongside, () if there is none.
    """

    own: PyTree
    first: Theta
    before: Phi
    members: RewardModel | tuple[()]


@struct.dataclass
class Monitored(Follower):
    """Retrains as `follower` does, and also keeps θ₀, φ before the last update, and an ensemble (ours).

    A run gives exactly the same numbers with it and without it: leader and follower never see the kept data.
    `fpo_jax.monitors` reads it.
    """

    follower: Follower = part(BestResponse())
    beside: Ensemble | None = None

    def check(self) -> None:
        """Raise an InputError when the follower is already monitored, or is one of two ensembles."""
        name = kebab(type(self.follower).__name__)
        if isinstance(self.follower, Monitored):
            raise InputError("follower", name, "another one: this one is already monitored")
        if isinstance(self.follower, Ensemble) and self.beside is not None:
            raise InputError("beside", "an ensemble", f"nothing, where the follower is {name}")
        validate(self.follower)

    @property
    def alpha(self) -> float:  # type: ignore[override]
        """Return the follower's share of on-policy data."""
        return self.follower.alpha

    @property
    def feedback(self) -> Feedback:  # type: ignore[override]
        """Return what the follower is trained on."""
        return self.follower.feedback

    @property
    def by_items(self) -> bool:  # type: ignore[override]
        """Return what the follower says of its loss."""
        return self.follower.by_items

    @property
    def brings_anchor(self) -> bool:
        """Return what the follower says of its anchor."""
        return self.follower.brings_anchor

    def init(self, game: Game, theta: Theta, phi: Phi, key: Key) -> RewardModel:
        """Return the follower's first reward model, and that of the ensemble beside it."""
        model = self.follower.init(game, theta, phi, key)
        members: Any = ()
        if self.beside is not None:
            faced = self.beside.faced(game)
            members = self.beside.init(faced, theta, faced.init(key)[1], key)
        return RewardModel(model.phi, Kept(model.memory, theta, model.phi, members))

    def update(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return the follower's reward model after its update, with φ as it was before."""
        kept = reward_model.memory
        model = self.follower.update(game, theta, _own(reward_model), key)
        members = kept.members
        if self.beside is not None:
            fixed = jax.lax.stop_gradient(theta)
            members = self.beside.update(self.beside.faced(game), fixed, members, key)
        return RewardModel(model.phi, Kept(model.memory, kept.first, reward_model.phi, members))

    def limit(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return the follower's limit; what is kept stays."""
        found = self.follower.limit(game, theta, _own(reward_model), key)
        return RewardModel(found.phi, reward_model.memory._replace(own=found.memory))

    def calibrated_weight(self, horizon: int) -> float | None:
        """Return that of the follower."""
        return self.follower.calibrated_weight(horizon)

    def loss(
        self, game: Game, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[Array], Scalar] | None:
        """Return that of the follower."""
        return self.follower.loss(game, theta, _own(reward_model), key)

    def training(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Training | None:
        """Return what the follower trains on next."""
        return self.follower.training(game, theta, _own(reward_model), key)

    def faced(self, game: Game) -> Game:
        """Return the game as the follower faces it."""
        return self.follower.faced(game)

    def check_start(self, reward_model: RewardModel) -> None:
        """Raise what the follower raises."""
        self.follower.check_start(_own(reward_model))

    def labelled(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Responses | None:
        """Return the items that the follower pays for."""
        return self.follower.labelled(game, theta, _own(reward_model), key)

    def residual(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Scalar | float:
        """Return that of the follower."""
        return self.follower.residual(game, theta, _own(reward_model), key)


def _own(model: RewardModel) -> RewardModel:
    """Return the reward model as the follower itself knows it.

    Raises:
        InputError: when nothing was kept.
    """
    if not isinstance(model.memory, Kept):
        raise InputError("reward_model.memory", model.memory, "what Monitored.init returns")
    return RewardModel(model.phi, model.memory.own)
