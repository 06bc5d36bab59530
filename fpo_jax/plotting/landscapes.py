"""Utility on a plane with paths of policies: on paper only, since a page plays seeds instead."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from fpo_jax.plotting.files import TITLE_SIZE
from fpo_jax.plotting.palette import Style

_PALE_GREYS = LinearSegmentedColormap.from_list("pale greys", ["#FFFFFF", "#B8B8B8"])


def phase(
    ax: Axes,
    grid: tuple[np.ndarray, np.ndarray],
    field: tuple[np.ndarray, np.ndarray],
    utility: np.ndarray,
    trajectories: Sequence[tuple[np.ndarray, np.ndarray]],
    style: Style,
    title: str,
) -> None:
    """Draw a phase plane: utility as grey contours, a vector field, and trajectories over it.

    Args:
        ax: axes to draw on.
        grid: signal and noise coordinates, [rows, columns] each.
        field: the two components of the field on the grid.
        utility: true utility on the grid.
        trajectories: pairs of (signal, noise), [step] each.
        style: colour of the trajectories.
        title: title of the panel.
    """
    ax.streamplot(grid[0], grid[1], *field, color="#6A6A6A", density=0.9, linewidth=0.6, arrowsize=0.7)
    landscape(ax, grid, utility, [np.stack(path, axis=-1) for path in trajectories], style, title)


def landscape(
    ax: Axes,
    grid: tuple[np.ndarray, np.ndarray],
    utility: np.ndarray,
    paths: Sequence[np.ndarray],
    style: Style,
    title: str,
) -> None:
    """Draw utility on a plane as grey contours, and paths over it, [step, 2] each, with a dot at the end."""
    levels = np.linspace(0.0, float(utility.max()), 11)
    ax.contourf(*grid, utility, levels=levels, cmap=_PALE_GREYS, zorder=0)
    for path in paths:
        ax.plot(*path.T, color=style.color, linewidth=1.2, alpha=0.75)
        ax.plot(*path[-1], "o", color=style.color, markersize=4, markeredgecolor="white")
    ax.set_title(title, fontsize=TITLE_SIZE)
