"""The exact gradient by central differences of F."""

from flax import struct

from fpo_jax.hyperparameters import count, real
from fpo_jax.numerics.differentiators import CentralDifference
from fpo_jax.objectives.directed import Directed
from fpo_jax.steering import foresighted_value
from fpo_jax.types import Cost, Estimate, Follower, Game, Key, RewardModel, Scalar, Theta


@struct.dataclass
class ZeroOrder(Directed):
    """dF/dθ by central differences of F, one pair of updates of the follower for each coordinate of θ."""

    zero_order_step: float = real(1e-5, "half-width of the central difference", low=0.0, open=True)
    horizon: int = count(1, "updates of the follower that the leader foresees")

    def estimate(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Estimate:
        """Return the central difference of F, with an error of order zero_order_step²."""

        def value(t: Theta) -> Scalar:
            return foresighted_value(game, follower, t, reward_model, key, self.horizon)

        return Estimate(
            CentralDifference(difference_step=self.zero_order_step).gradient(value, theta), Cost()
        )
