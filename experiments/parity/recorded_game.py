"""A game whose policy answers with recorded noise, and the loop that replays a recording draw by draw."""

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
    """The game in which π_θ explores by recorded noise, whatever the key.

    Attributes:
        game: one with a method `explore(theta, noise)`, as `Neural`.
        noise: [number, responses, dimension] of so many samples; one alone is what `respond` uses.
    """

    game: Any
    noise: Float[Array, "number responses dimension"]

    def respond(self, theta: Theta, key: Key) -> Responses:
        """Return the response to the first row of noise."""
        return self.game.explore(theta, self.noise[0])

    def sample(self, theta: Theta, key: Key, number: int) -> Responses:
        """Return the responses to all rows of noise, of which there must be `number`."""
        if len(self.noise) != number:
            raise ValueError(f"{len(self.noise)} rows of noise were recorded, and {number} are asked for")
        return jax.vmap(lambda row: self.game.explore(theta, row))(self.noise)


class Noise(NamedTuple):
    """Recorded noise of T iterations.

    Attributes:
        policy: [T, policy_steps, responses, dimension] of the policy steps.
        data: [T, draws, responses, dimension] of the follower's draws.
    """

    policy: Array
    data: Array


def replay(
    game: Game, leader: Leader, follower: Follower, state: State, noise: Noise
) -> tuple[dict[str, Array], Theta]:
    """Return what the recordings hold of every iteration, [T]: metrics and θ, before the model is retrained.

    No key matters, since all that is drawn was recorded.
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
