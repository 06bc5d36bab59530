"""Random Markov decision processes (Garnet) whose features mislead in a share of the states.

Each state-action pair leads to a few states drawn without replacement, with probabilities cut at random from
the unit interval. As in the bandit, style predicts quality on ordinary states, and planted states have style
far above anything that the offline data show, and next to no quality. U(s, a) = quality of s.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int

from fpo_jax.envs.parts.tabular import COLLAPSING, Pair, Process, TabularGame
from fpo_jax.envs.parts.transitions import Branches
from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import count, real
from fpo_jax.types import Key, Recipe


@struct.dataclass
class Garnet(Process):
    """Random processes of given size and branching, with planted states (Garnet; the planting is ours).

    The first state is drawn uniformly. The reward model is linear in (style, visibility·quality).
    """

    name: ClassVar[str] = "garnet"
    recipe: ClassVar[Recipe] = COLLAPSING._replace(
        weights={
            **COLLAPSING.weights,
            # chosen by `fpo-jax reproduce --only mitigations`, on seeds of their own
            "leverage": 0.316,
            "pessimistic": 0.316,
            "kl": 1000.0,
            "chi-squared": 31.6,
            "gradient-norm": 1000.0,
            "shaped": 1000.0,
            "ensemble": 100.0,
        },
    )

    planted_share: float = real(0.25, "share of states in the blind spot, in [0, 1)", low=0.0, high=0.999)
    visibility: float = real(0.3, "scale at which the reward model sees quality")
    states: int = count(20, "number of states", low=2)
    actions: int = count(4, "number of actions")
    branching: int = count(3, "number of states that each state-action pair leads to, at most `states`")

    def check(self) -> None:
        """Raise an InputError when a pair should lead to more states than there are."""
        super().check()
        if self.branching > self.states:
            raise InputError("branching", self.branching, f"an integer <= states = {self.states}")

    def draw(self, key: Key) -> TabularGame:
        """Draw one process; the last states are the planted ones, at least one state is ordinary."""
        keys = jax.random.split(key, 5)
        index = jnp.arange(self.states, dtype=float)
        ordinary_states = (1.0 - self.planted_share) * self.states  # rounded by comparing with midpoints
        is_planted = jnp.where((index + 0.5 > ordinary_states) & (index > 0.0), 1.0, 0.0)
        quality = jax.random.uniform(keys[0], (self.states,)) * jnp.where(is_planted > 0, 0.2, 1.0)
        noise = jax.random.uniform(keys[1], (self.states,))
        style = jnp.where(is_planted > 0, 2.0 + noise, 0.8 * quality + 0.2 * noise)
        by_state = Pair(jnp.stack([style, self.visibility * quality], axis=1), quality, is_planted)
        start = jnp.full(self.states, 1.0 / self.states)
        return self.planted_game(by_state, self._branches(keys[2]), start, is_covered=1.0 - is_planted)

    def _branches(self, key: Key) -> Branches:
        def row(row_key: Key) -> tuple[Int[Array, " branches"], Float[Array, " branches"]]:
            where, cuts = jax.random.split(row_key)
            successors = jax.random.permutation(where, self.states)[: self.branching]
            ends = jnp.sort(jax.random.uniform(cuts, (self.branching - 1,)))
            return successors, jnp.diff(ends, prepend=0.0, append=1.0)

        keys = jax.random.split(key, (self.states, self.actions))
        return Branches(*jax.vmap(jax.vmap(row))(keys))
