"""The base class of performative problems, and the world as a follower."""

from abc import abstractmethod
from typing import ClassVar

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array

from fpo_jax.feedback import Labels
from fpo_jax.hyperparameters import part, real
from fpo_jax.types import Feedback, Follower, Game, Key, Phi, RewardModel, Scalar, Theta


class Performative(Game):
    """A game whose world answers in closed form; `World` is its follower.

    Attributes:
        bounds: lowest and highest allowed θ, or None.
    """

    bounds: ClassVar[tuple[float, float] | None] = None

    @abstractmethod
    def answer(self, theta: Theta) -> Phi:
        """Return φ⁺(θ)."""
        ...

    @abstractmethod
    def stable(self) -> Theta:
        """Return the performatively stable θ; for logits, the probabilities."""
        ...

    @abstractmethod
    def optimal(self) -> Theta:
        """Return the performatively optimal θ; for logits, the probabilities."""
        ...

    def slope(self) -> Scalar | float | None:
        """Return the retraining slope, or None where J is linear in θ and has no maximum."""
        return None

    def blind_spot(self, y: Array) -> Scalar:
        """Return 0: nothing is planted."""
        return jnp.zeros(())


@struct.dataclass
class World(Follower):
    """The world of a performative problem: it answers with φ⁺(θ), whatever its state before."""

    alpha: float = real(1.0, "nothing: all that the world sees is the leader", low=0.0, high=1.0)
    feedback: Feedback = part(Labels())

    def init(self, game: Game, theta: Theta, phi: Phi, key: Key) -> RewardModel:
        """Return the answer to the initial θ."""
        return self.update(game, theta, RewardModel(phi), key)

    def update(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return φ⁺(θ)."""
        assert isinstance(game, Performative)
        return RewardModel(game.answer(theta), reward_model.memory)

    def limit(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return φ⁺(θ)."""
        return self.update(game, theta, reward_model, key)

    def calibrated_weight(self, horizon: int) -> None:
        """Return None: no weight matches it."""
        return None
