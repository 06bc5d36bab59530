"""A game whose policy responds with recorded noise, and the loop that replays a recording draw by draw."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from fpo_jax.leader import Leader
from fpo_jax.record import outcome
from fpo_jax.run import policy_step, retrain
from fpo_jax.types import Follower, Game, Key, Responses, State, Theta
from fpo_jax.wrappers import OtherPolicy


@struct.dataclass
class Recorded(OtherPolicy):
    """A game in which π_θ explores with recorded noise and ignores the key.

    Attributes:
        game: a game with a method `explore(theta, noise)`, such as `Neural`.
        noise: [number, responses, dimension] noise of `number` samples. `respond` uses the first.
    """

    game: Any
    noise: Float[Array, "number responses dimension"]

    def respond(self, theta: Theta, key: Key) -> Responses:
        """Return the responses by the first row of noise."""
        return self.game.explore(theta, self.noise[0])

    def sample(self, theta: Theta, key: Key, number: int) -> Responses:
        """Return the responses by all rows of noise.

        Raises:
            ValueError: when the noise does not have `number` rows.
        """
        if len(self.noise) != number:
            raise ValueError(
                f"the recording has {len(self.noise)} rows of noise, and the game needs {number}"
            )
        return jax.vmap(lambda row: self.game.explore(theta, row))(self.noise)


class Noise(NamedTuple):
    """The recorded noise of T iterations.

    Attributes:
        policy: [T, policy_steps, responses, dimension] noise of the policy steps.
        data: [T, draws, responses, dimension] noise of the follower's draws.
    """

    policy: Array
    data: Array


def replay(
    game: Game, leader: Leader, follower: Follower, state: State, noise: Noise
) -> tuple[dict[str, Array], Theta]:
    """Replay the iterations, and return metrics and θ as recorded: after the policy steps, before retraining.

    Both are [T, ...]. Keys have no effect, since all noise was recorded.
    """
    key, steps = jax.random.key(0), len(noise.policy)

    def iteration(state: State, row: tuple[Array, Noise]) -> tuple[State, tuple[dict[str, Array], Theta]]:
        done, (policy_noise, data_noise) = row
        now, leader_now = game.at(done / steps), leader.at(done / steps)

        def step(state: State, noise: Array) -> tuple[State, None]:
            return policy_step(Recorded(now, noise[None]), leader_now, follower, state, key), None

        state, _ = jax.lax.scan(step, state, policy_noise)
        moved = outcome(now, follower, state, key), state.theta
        return retrain(Recorded(now, data_noise), follower, state, key), moved

    _, recorded = jax.lax.scan(iteration, state, (jnp.arange(steps), noise))
    return recorded
