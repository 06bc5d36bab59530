"""A gridworld with planted decoys: cells that glitter more than the goal, and are worth nothing.

Utility is a bump around the goal, U = exp(−d²/4). The reward model is linear in (visibility·√U, glitter):
glitter is a wider bump around the goal, exp(−d²/6), which makes it a good predictor of utility on the offline
data, and is higher still on the decoys, which the offline data never show.

A grid is drawn from a key, or from a map that one can write: rows from top to bottom, separated by "/" or by
line breaks, of S (start), G (goal), D (decoy), # (wall) and . (free).

Examples:
    >>> import jax
    >>> game = Gridworld(map="S..#G / .#... / ..D.#").draw(jax.random.key(0))
    >>> print(game.layout.wall)
    [[0. 0. 0. 1. 0.]
     [0. 1. 0. 0. 0.]
     [0. 0. 0. 0. 1.]]
"""

import re
from pathlib import Path
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int

from fpo_jax.envs.parts.tabular import COLLAPSING, Pair, Process, TabularGame
from fpo_jax.envs.parts.transitions import Branches
from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import count, real, text
from fpo_jax.numerics.keys import named_key
from fpo_jax.types import Key, Recipe

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""Up, down, left, right, as (row, column)."""
RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""The eight cells around a cell, in order; sides and corners alternate."""
SIGNS = {"S": "start", "G": "goal", "D": "decoy", "#": "wall", ".": "free"}

MOST_CELLS = 2**20
"""Most cells of a grid: tables of them are made before memory can be estimated."""

Mask = Float[Array, "rows columns"]


def read_map(written: str) -> str:
    """Return a map as it is, or the one in a file of this name, its rows separated by "/".

    Raises:
        InputError: names the line that is none of a map, and says why no file of this name can be read.
    """
    if set(written) <= {*SIGNS, "/", " ", "\n"}:
        return written
    try:
        with Path(written).open(encoding="utf-8") as file:
            drawn = file.read(2 * MOST_CELLS + 1)  # more are refused by their number
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        return "/".join(_lines(written, f", and it is not a readable file either ({reason})"))
    return "/".join(_lines(drawn, f", in {written}"))


def _lines(drawn: str, remark: str = "") -> list[str]:
    """Return the rows of a map; an error adds a remark on what is wrong with a row.

    Raises:
        InputError: names the line that is ragged or has an unknown sign.
    """
    lines = [line.strip() for line in re.split(r"[/\n]", drawn.strip().strip("/"))]
    if not any(lines):
        raise InputError("map", "nothing", f"one or more rows{remark}")
    for number, line in enumerate(lines, start=1):
        unknown = [sign for sign in line if sign not in SIGNS]
        if unknown:
            signs = ", ".join(f"{sign} ({word})" for sign, word in SIGNS.items())
            raise InputError(f"map line {number}", line, f"made of {signs}, not {unknown[0]!r}{remark}")
        if len(line) != len(lines[0]) or not line:
            allowed = f"{len(lines[0])} cells long, as the first line, not {len(line)}{remark}"
            raise InputError(f"map line {number}", line or "nothing", allowed)
    return lines


class Layout(NamedTuple):
    """What each cell is: indicators, [rows, columns] each."""

    start: Mask
    goal: Mask
    decoy: Mask
    wall: Mask


@struct.dataclass
class GridworldGame(TabularGame):
    """A tabular process whose states are the cells of a grid, row by row; walls are states never entered."""

    layout: Layout

    @property
    def places(self) -> dict[str, int]:
        """Return the cells."""
        return dict(zip(("row", "column"), self.layout.wall.shape, strict=True))


@struct.dataclass
class Gridworld(Process):
    """A grid from one corner to the other, or by a map, with decoys drawn among the free cells (ours).

    A move off the grid or into a wall leaves the agent where it is. With probability `slip` a move goes in a
    direction drawn uniformly from all four. Distance d is in cells, straight to the nearest goal.
    """

    name: ClassVar[str] = "gridworld"
    recipe: ClassVar[Recipe] = COLLAPSING._replace(
        weights={
            **COLLAPSING.weights,
            # chosen by `fpo-jax reproduce --only mitigations`, on seeds of their own
            "leverage": 0.1,
            "pessimistic": 0.316,
            "kl": 0.0316,
            "chi-squared": 0.0316,
            "gradient-norm": 316.0,
            "shaped": 100.0,
            "ensemble": 100.0,
        },
    )

    slip: float = real(0.1, "probability that a move goes in a random direction", low=0.0, high=1.0)
    glitter: float = real(2.0, "glitter of a decoy; the goal's is 1")
    visibility: float = real(0.3, "scale at which the reward model sees √U")
    walls: float = real(0.0, "share of free cells to wall up; none that cuts a cell off", low=0.0, high=1.0)
    rows: int = count(5, "rows of the grid, when no map is given", low=2)
    columns: int = count(5, "columns of the grid, when no map is given", low=2)
    decoys: int = count(3, "number of decoys to draw, when the map shows none", low=0)
    map: str = text(
        "",
        'rows of S, G, D, # and ., separated by "/", or a file of them; empty: start and goal in corners',
        read=read_map,
    )

    def check(self) -> None:
        """Raise an InputError when the map is not one, or when the decoys do not fit on the grid."""
        super().check()
        self._require_few()
        from scipy.ndimage import label  # here, since other environments are imported along with this one

        drawn = self._drawn()
        for sign in "SG":
            if not np.any(drawn == sign):
                raise InputError("map", self.map, f"a map with at least one {sign} ({SIGNS[sign]})")
        regions, _ = label(drawn != "#")
        for sign, other, allowed in (
            ("G", "S", "one whose G can be reached from S"),
            ("S", "G", "one from whose S a G can be reached"),
        ):
            reached = np.isin(regions, regions[drawn == other])
            for row, _ in np.argwhere((drawn == sign) & ~reached)[:1]:
                raise InputError(f"map line {row + 1}", "".join(drawn[row]), allowed)
        room = np.sum(drawn == ".")
        if not np.any(drawn == "D") and self.decoys > room:
            raise InputError("decoys", self.decoys, f"an integer <= {room}, the number of free cells")

    def draw(self, key: Key) -> GridworldGame:
        """Draw one gridworld: where the decoys and the walls are."""
        layout = self._layout(key)
        decoy, wall = layout.decoy.ravel(), layout.wall.ravel()
        squared = self._squared_distance().astype(decoy.dtype)
        utility = (1.0 - decoy) * (1.0 - wall) * jnp.exp(-squared / 4.0)
        glitter = jnp.where(decoy > 0, self.glitter, jnp.exp(-squared / 6.0))
        features = jnp.stack([self.visibility * jnp.sqrt(utility), glitter], axis=1)
        start = layout.start.ravel()
        game = self.planted_game(
            Pair(features, utility, decoy),
            self._branches(layout.wall),
            start / jnp.sum(start),
            is_covered=(1.0 - decoy) * (1.0 - wall),
        )
        return GridworldGame(**vars(game), layout=layout)

    def _require_few(self) -> None:
        """Check that there are not too many cells, before any is made."""
        if not self.map and self.rows * self.columns > MOST_CELLS:
            sizes = f"{self.rows} x {self.columns}"
            raise InputError("rows x columns", sizes, f"at most {MOST_CELLS} cells")
        if len(self.map) > 2 * MOST_CELLS:
            raise InputError("map", f"{self.map[:20]}…", f"at most {MOST_CELLS} cells")

    def _drawn(self) -> np.ndarray:
        """Return the map as [rows, columns] signs."""
        if not self.map:
            drawn = np.full((self.rows, self.columns), ".")
            drawn[0, 0], drawn[-1, -1] = "S", "G"
            return drawn
        return np.array([list(line) for line in _lines(self.map)])

    def _layout(self, key: Key) -> Layout:
        drawn = self._drawn()
        shape, dtype = drawn.shape, jnp.result_type(float)
        start, goal, decoy, wall = (jnp.asarray(drawn == sign, dtype) for sign in "SGD#")
        if not np.any(drawn == "D"):
            free = np.flatnonzero(drawn == ".")
            chosen = jax.random.permutation(key, free)[: self.decoys]
            decoy = jnp.zeros(drawn.size, dtype).at[chosen].set(1.0).reshape(shape)
        kept = (start + goal + decoy + wall) > 0
        return Layout(start, goal, decoy, self._walled(wall, kept, named_key(key, "walls")))

    def _walled(self, wall: Mask, kept: Array, key: Key) -> Mask:
        """Wall up a share of the cells that are not kept, one by one, where that cuts no cell off.

        A cell may become a wall if the open cells at its four sides are connected around it: every way
        through it then has a way around. Yokoi's connectivity number counts the pieces into which they would
        fall.
        """
        rows, columns = wall.shape
        order_key, share_key = jax.random.split(key)
        order = jax.random.permutation(order_key, rows * columns)
        wanted = jax.random.uniform(share_key, wall.shape) < self.walls
        ring = jnp.asarray(RING)

        def propose(closed: Mask, cell: Int[Array, ""]) -> tuple[Mask, None]:
            """`closed` has a border of walls around the grid."""
            row, column = jnp.divmod(cell, columns)
            is_open = 1.0 - closed[row + 1 + ring[:, 0], column + 1 + ring[:, 1]]
            sides, corners, next_sides = is_open[::2], is_open[1::2], jnp.roll(is_open[::2], -1)
            pieces = jnp.sum(sides - sides * corners * next_sides)
            close = wanted[row, column] & ~kept[row, column] & (pieces <= 1)
            return closed.at[row + 1, column + 1].max(close.astype(closed.dtype)), None

        closed, _ = jax.lax.scan(propose, jnp.pad(wall, 1, constant_values=1.0), order)
        return closed[1:-1, 1:-1]

    def _squared_distance(self) -> Float[Array, " cells"]:
        """Return the squared distance of each cell to the nearest goal."""
        from scipy.ndimage import distance_transform_edt  # here, as in `check`

        straight = np.asarray(distance_transform_edt(self._drawn() != "G"))
        return jnp.asarray(np.rint(straight.ravel() ** 2).astype(int))

    def _branches(self, wall: Mask) -> Branches:
        """Return the four places where each move may lead, with the probabilities of slipping there."""
        rows, columns = wall.shape
        row, column = np.divmod(np.arange(rows * columns), columns)
        beside = np.stack(
            [
                np.clip(row + down, 0, rows - 1) * columns + np.clip(column + right, 0, columns - 1)
                for down, right in MOVES
            ],
            axis=1,
        )
        here = np.arange(rows * columns)[:, None]
        leads_to = jnp.where(wall.ravel()[beside] > 0, here, beside)
        successors = jnp.broadcast_to(leads_to[:, None], (rows * columns, len(MOVES), len(MOVES)))
        move = (1.0 - self.slip) * jnp.eye(len(MOVES)) + self.slip / len(MOVES)
        return Branches(successors, jnp.broadcast_to(move, successors.shape))
