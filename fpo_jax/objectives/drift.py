"""The drift of the reward between two updates, as a forecast of the next: it costs an old reward model."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import PyTree

from fpo_jax.expect import leader_value
from fpo_jax.hyperparameters import count, real
from fpo_jax.numerics.rows import one_row, pushed
from fpo_jax.steering import foresight_keys
from fpo_jax.types import Follower, Game, Key, Objective, RewardModel, Scalar, State, Theta


@struct.dataclass
class Drift(Objective):
    """E[r_φ + weight · (r_φ − r_φ')] − cost, φ' the reward model of `lag` updates ago, detached (ours).

    It assumes that the reward loses again what it lost between two updates. With weight 1 and lag 1 the
    leader ascends the reward model after the next update, if that update equals the last one. Of steering it
    knows what the change of φ has shown along the policy's own path.

    Attributes:
        old: φ', which the loop hands over by `for_iteration`; None before, where nothing has changed.
    """

    knows: ClassVar[str] = "nothing"

    weight: float = real(1.0, "how much of the drift is added; 0 is the myopic objective", low=0.0)
    lag: int = count(1, "updates between the two reward models")
    old: PyTree = struct.field(default=None, kw_only=True)

    @property
    def keeps(self) -> int:  # type: ignore[override]
        """Return how many reward models are kept, [keeps, ...] oldest first."""
        return self.lag

    def begin(self, game: Game, follower: Follower, state: State, key: Key) -> PyTree:
        """Return the first reward model as often as there are some to keep."""
        return jax.tree.map(lambda leaf: jnp.stack([leaf] * self.lag), state.reward_model.phi)

    def remember(self, game: Game, follower: Follower, begun: State, ended: State, key: Key) -> PyTree:
        """Return the last reward models, that of this iteration among them."""
        return pushed(begun.earlier, one_row(begun.reward_model.phi))

    def for_iteration(self, game: Game, follower: Follower, state: State, key: Key) -> Objective:
        """Return the objective with the oldest reward model that is kept."""
        return self.replace(old=jax.tree.map(lambda leaf: leaf[0], state.earlier))  # type: ignore[attr-defined]

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return J of the reward that is carried on."""
        responses = game.respond(theta, foresight_keys(key).evaluation)
        now = leader_value(game, theta, reward_model.phi, responses)
        if self.old is None:
            return now
        return now + self.weight * (now - leader_value(game, theta, self.old, responses))
