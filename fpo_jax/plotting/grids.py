"""Maps of a grid and of a policy on it: on paper only, since a page plays the policy instead."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from fpo_jax.plotting.files import RC, TITLE_SIZE
from fpo_jax.plotting.palette import MARKED, RLHF

WRITTEN = 8
"""Side of the largest grid whose map has written values."""


def grid_panels(number: int, shape: tuple[int, int]) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure of panels, at most three in a row, for maps of a grid of this shape; and its axes."""
    columns = min(number, 3)
    rows = -(-number // columns)
    width = 2.6  # inches
    height = width * min(max(shape[0] / shape[1], 0.4), 1.6) + 0.25
    with matplotlib.rc_context(RC):
        figure = Figure((width * columns, height * rows + 0.45), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[number:]:
        ax.set_axis_off()
    return figure, list(axes[:number])


def grid_map(
    ax: Axes, values: np.ndarray, layout: Any, title: str, colours: str, scale: float | None = None
) -> AxesImage:
    """Draw a value for each cell of a grid, with start, goal, decoys and walls, and return its image.

    Colours follow the square root of the value, so that small values are visible.

    Args:
        ax: axes to draw on.
        values: [rows, columns], >= 0; on a grid with sides up to `WRITTEN` also written, in hundredths.
        layout: [rows, columns] indicators `start`, `goal`, `decoy` and `wall` of the cells.
        title: title of the panel.
        colours: name of a colour map that begins with white.
        scale: value of the darkest colour; the largest value by default.
    """
    norm = PowerNorm(0.5, vmin=0.0, vmax=float(values.max()) if scale is None else scale)
    image = ax.imshow(values, cmap=colours, norm=norm)
    for row, column in np.argwhere(np.asarray(layout.wall) > 0):
        ax.add_patch(_cell(row, column, facecolor="#4A4A4A", edgecolor="#4A4A4A"))
    for row, column in np.argwhere(np.asarray(layout.decoy) > 0):
        ax.add_patch(_cell(row, column, inset=0.06, fill=False, edgecolor=MARKED, linewidth=2))
    size = float(np.clip(60 / max(values.shape), 4, 9))
    for sign, marks in (("S", layout.start), ("G", layout.goal), ("D", layout.decoy)):
        for row, column in np.argwhere(np.asarray(marks) > 0):
            ink = "white" if norm(values[row, column]) > 0.6 else "black"
            ax.text(
                column - 0.3, row - 0.24, sign, ha="center", va="center", size=size, weight="bold", color=ink
            )
    if max(values.shape) <= WRITTEN:
        for (row, column), value in np.ndenumerate(values):
            if value >= 0.005:
                ink = "white" if norm(value) > 0.6 else "black"
                ax.text(
                    column + 0.42, row + 0.3, f"{100 * value:.0f}", ha="right", va="center", size=7, color=ink
                )
    ax.set_title(title, fontsize=TITLE_SIZE)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_color("#8A8A8A")
    return image


def grid_arrows(ax: Axes, logits: np.ndarray, moves: Sequence[tuple[int, int]], layout: Any) -> None:
    """Draw the greedy move of each open cell as an arrow, or a dot if no move is preferred.

    Args:
        ax: axes to draw on.
        logits: [rows, columns, moves] of the softmax policy.
        moves: (row, column) of each move.
        layout: as in `grid_map`.
    """
    best = np.argmax(logits, axis=2)
    preferred = np.max(logits, axis=2) - np.min(logits, axis=2) > 1e-3
    is_open = np.asarray(layout.wall) == 0
    down, right = (np.asarray(moves)[best][..., axis] for axis in (0, 1))
    rows, columns = np.nonzero(is_open & preferred)
    ax.quiver(
        columns,
        rows,
        0.6 * right[rows, columns],
        0.6 * down[rows, columns],
        pivot="middle",
        angles="xy",
        scale_units="xy",
        scale=1.0,
        units="xy",
        width=0.07,
        color=RLHF.color,
    )
    rows, columns = np.nonzero(is_open & ~preferred)
    ax.plot(columns, rows, ".", color=RLHF.color, markersize=2, linestyle="")


def _cell(row: int, column: int, inset: float = 0.0, **options: Any) -> Rectangle:
    side = 1.0 - 2.0 * inset
    return Rectangle((column - 0.5 + inset, row - 0.5 + inset), side, side, **options)
