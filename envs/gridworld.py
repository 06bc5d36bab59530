"""A gridworld with planted decoys: cells that glitter more than the goal, and are worth nothing.

Utility is a bump around the goal, U = exp(−d²/4). The reward model is linear in (visibility·√U, glitter):
glitter is a wider bump around the goal, exp(−d²/6), which makes it a good predictor of utility on the offline
data, and is higher still on the decoys, which the offline data never show.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from envs.tabular import Pair, TabularGame, planted_game
from fpo_jax.hyperparameters import InputError, count, real
from fpo_jax.types import Key, Recipe

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""Up, down, left, right, as (row, column)."""


@struct.dataclass
class Gridworld:
    """A grid from one corner to the other, with decoys drawn among the other cells (ours).

    The start is the upper left corner, the goal the lower right one. A move off the grid stays. With
    probability `slip` a move goes in a direction drawn uniformly from all four.
    """

    name: ClassVar[str] = "gridworld"
    recipe: ClassVar[Recipe] = Recipe(
        steps=3000,
        policy_lr=10.0,
        follower="best-response",
        settings={"alpha": 0.3, "ridge": 0.1},
        weights={"relaxed": 0.3, "practical": 0.1},
    )

    slip: float = real(0.1, "probability that a move goes in a random direction", low=0.0, high=1.0)
    discount: float = real(0.9, "discount of the occupancy, in [0, 1)", low=0.0, high=0.9999)
    temperature: float = real(0.01, "price τ of KL(π ‖ uniform)", low=0.0)
    glitter: float = real(2.0, "glitter of a decoy; the goal's is 1")
    visibility: float = real(0.3, "scale at which the reward model sees √U")
    rows: int = count(5, "rows of the grid", low=2)
    columns: int = count(5, "columns of the grid", low=2)
    decoys: int = count(3, "number of decoy cells", low=0)

    def check(self) -> None:
        """Raise an InputError when the decoys do not fit on the grid."""
        room = self.rows * self.columns - 2
        if self.decoys > room:
            raise InputError("decoys", self.decoys, f"an integer <= {room}, the cells but start and goal")

    def draw(self, key: Key) -> TabularGame:
        """Draw one gridworld: where the decoys are."""
        cells = self.rows * self.columns
        drawn = 1 + jax.random.permutation(key, cells - 2)[: self.decoys]
        is_decoy = jnp.zeros(cells).at[drawn].set(1.0)
        row, column = jnp.divmod(jnp.arange(cells), self.columns)
        squared = ((row - self.rows + 1) ** 2 + (column - self.columns + 1) ** 2).astype(is_decoy.dtype)
        utility = (1.0 - is_decoy) * jnp.exp(-squared / 4.0)
        glitter = jnp.where(is_decoy > 0, self.glitter, jnp.exp(-squared / 6.0))
        features = jnp.stack([self.visibility * jnp.sqrt(utility), glitter], axis=1)
        moves = jnp.asarray(self._moves(), dtype=is_decoy.dtype)
        random_move = jnp.mean(moves, axis=1, keepdims=True)
        return planted_game(
            Pair(features, utility, is_decoy),
            transitions=(1.0 - self.slip) * moves + self.slip * random_move,
            start=jnp.zeros(cells).at[0].set(1.0),
            discount=self.discount,
            temperature=self.temperature,
        )

    def _moves(self) -> np.ndarray:
        """Return [cells, moves, cells] indicators of where each move leads without slip."""
        leads_to = np.zeros((self.rows * self.columns, len(MOVES), self.rows * self.columns))
        for cell in range(self.rows * self.columns):
            row, column = divmod(cell, self.columns)
            for move, (down, right) in enumerate(MOVES):
                to_row = min(max(row + down, 0), self.rows - 1)
                to_column = min(max(column + right, 0), self.columns - 1)
                leads_to[cell, move, to_row * self.columns + to_column] = 1.0
        return leads_to
