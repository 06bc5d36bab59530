"""The objective of iterative RLHF, which foresees nothing."""

from typing import ClassVar

from flax import struct

from fpo_jax.expect import evaluate
from fpo_jax.objectives.penalties import Fpo
from fpo_jax.steering import foresight_keys
from fpo_jax.types import Follower, Game, Key, Objective, RewardModel, Scalar, Theta


@struct.dataclass
class Myopic(Objective):
    """J(θ, φ) at the present φ: iterative RLHF, which drops the steering term (paper)."""

    knows: ClassVar[str] = "nothing"

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return J(θ, φ)."""
        return evaluate(game, theta, reward_model.phi, foresight_keys(key).evaluation)

    def as_fpo(self, utility: str) -> Objective:
        """Return FPO of weight 0: the same as long as the penalty is finite, since 0 · ∞ is undefined."""
        return Fpo(weight=0.0, oracle=0.0, utility=utility)
