"""Traces drawn on axes; the only place that knows matplotlib.

Colours follow the paper's convention, RLHF red and FPO blue, in shades that colour-blind readers tell
apart; every method also has its own dash pattern, so that figures survive a black-and-white printer.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

IDEAL = "#000000"
TITLE_SIZE = 10  # points
PANEL = (3.4, 2.7)  # inches of one panel: legible when two stand side by side on a page

RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # text stays text
}
"""Our settings, in force while a figure is made or written; a user's own stay as they are."""


class Style(NamedTuple):
    """How one method is drawn: its colour and its dash pattern."""

    color: str
    dashes: Any


RLHF = Style("#C8321E", "-")
_FPO_STYLES = {
    "exact": [Style("#08306B", "-"), Style("#08306B", (0, (1, 1)))],
    "relaxed": [Style("#2171B5", (0, (6, 2))), Style("#2171B5", (0, (3, 1, 1, 1)))],
    "practical": [Style("#5FA8E0", (0, (2, 1.2))), Style("#5FA8E0", (0, (5, 1, 1, 1, 1, 1)))],
}
_PALE_GREYS = LinearSegmentedColormap.from_list("pale greys", ["#FFFFFF", "#B8B8B8"])
_SPARE = [Style("#41AB9B", "-"), Style("#756BB1", "-"), Style("#525252", "-")]


def styles(objectives: Mapping[str, str]) -> dict[str, Style]:
    """Assign a style to each method: RLHF red, FPO blue; a second variant of an objective new dashes.

    Args:
        objectives: name of the objective by the method's label.
    """
    left = {name: list(options) for name, options in _FPO_STYLES.items()}
    spare = list(_SPARE)
    assigned = {}
    for label, objective in objectives.items():
        if objective == "myopic":
            assigned[label] = RLHF
        else:
            options = left.get(objective) or spare or list(_SPARE)
            assigned[label] = options.pop(0)
    return assigned


def panels(rows: int, columns: int, **options: Any) -> tuple[Figure, np.ndarray]:
    """Return a figure of rows × columns panels of the standard size, and its [rows, columns] axes."""
    with matplotlib.rc_context(RC):
        figure = Figure((PANEL[0] * columns, PANEL[1] * rows), layout="constrained")
        return figure, figure.subplots(rows, columns, squeeze=False, **options)


def curve(ax: Axes, values: np.ndarray, label: str, style: Style) -> None:
    """Draw the mean over seeds and the band that holds the middle 80 % of them.

    Args:
        ax: axes to draw on.
        values: [seed, step].
        label: name in the legend.
        style: colour and dashes.
    """
    steps = np.arange(values.shape[1])
    low, high = np.quantile(values, [0.1, 0.9], axis=0)
    ax.fill_between(steps, low, high, color=style.color, alpha=0.13, linewidth=0)
    ax.plot(steps, values.mean(axis=0), color=style.color, linestyle=style.dashes, label=label)


def ideal(ax: Axes, level: float, label: str) -> None:
    """Draw the ideal as a dashed black line."""
    ax.axhline(level, color=IDEAL, linestyle="--", linewidth=1, label=label)


def policy_bars(ax: Axes, mass: np.ndarray, planted: np.ndarray, style: Style, label: str) -> None:
    """Draw a final policy over arms, averaged over instances; planted arms on a shaded ground.

    Args:
        ax: axes to draw on.
        mass: [arms] probability of each arm.
        planted: [arms] 1 for planted arms.
        style: colour.
        label: title of the panel.
    """
    arms = np.arange(mass.size)
    ax.bar(arms, mass, color=style.color, width=0.8)
    shaded = arms[planted > 0.5]
    if shaded.size:
        ax.axvspan(shaded.min() - 0.5, shaded.max() + 0.5, color="#F3D9B1", alpha=0.6, zorder=0)
    ax.set_title(label, fontsize=TITLE_SIZE)
    ax.set_xlim(-0.7, mass.size - 0.3)


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
    levels = np.linspace(0.0, float(utility.max()), 11)
    ax.contourf(*grid, utility, levels=levels, cmap=_PALE_GREYS)
    ax.streamplot(grid[0], grid[1], *field, color="#6A6A6A", density=0.9, linewidth=0.6, arrowsize=0.7)
    for signal, noise in trajectories:
        ax.plot(signal, noise, color=style.color, linewidth=1.2, alpha=0.75)
        ax.plot(signal[-1], noise[-1], "o", color=style.color, markersize=4, markeredgecolor="white")
    ax.set_title(title, fontsize=TITLE_SIZE)


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure as PDF and PNG; no display is needed."""
    with matplotlib.rc_context(RC):
        for suffix in ("pdf", "png"):
            figure.savefig(folder / f"{name}.{suffix}", dpi=160)
