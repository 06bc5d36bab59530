"""What seeds did: over iterations, against a hyperparameter, and one by one."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from fpo_jax.plotting.style import EXACT, IDEAL, TITLE_SIZE, Style


def curve(ax: Axes, values: np.ndarray, label: str, style: Style, steps: np.ndarray | None = None) -> None:
    """Draw the mean over seeds and the band that holds the middle 80 % of them.

    Args:
        ax: axes to draw on.
        values: [seed, step].
        label: name in the legend.
        style: colour and dashes.
        steps: [step] iterations of the entries; 0, 1, 2 … when not given.
    """
    steps = np.arange(values.shape[1]) if steps is None else steps
    low, high = np.quantile(values, [0.1, 0.9], axis=0)
    ax.fill_between(steps, low, high, color=style.color, alpha=0.13, linewidth=0)
    ax.plot(steps, values.mean(axis=0), color=style.color, linestyle=style.dashes, label=label)


def line(ax: Axes, steps: np.ndarray, values: np.ndarray, label: str, style: Style) -> None:
    """Draw the median over seeds, [seed, entry], leaving out what is undefined."""
    defined = np.isfinite(values).any(axis=0)
    medians = np.array([np.median(column[np.isfinite(column)]) for column in values[:, defined].T])
    ax.plot(steps[defined], medians, color=style.color, linestyle=style.dashes, label=label, linewidth=1.2)


def points_with_spread(ax: Axes, values: Mapping[str, np.ndarray]) -> None:
    """Draw the mean of each group and the bar that holds the middle 80 % of its seeds, side by side."""
    places = np.arange(len(values))
    for place, seeds in zip(places, values.values(), strict=True):
        ax.plot([place, place], np.quantile(seeds, [0.1, 0.9]), color=EXACT.color, linewidth=4, alpha=0.25)
        ax.plot(place, seeds.mean(), "o", color=EXACT.color, markersize=4)
    ax.set_xticks(places, list(values))


def interval_line(
    ax: Axes,
    places: Sequence[float],
    values: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    label: str,
    style: Style,
) -> None:
    """Draw values at given places as a line with markers, and their intervals as a band."""
    low, high = np.transpose(intervals)
    ax.fill_between(places, low, high, color=style.color, alpha=0.13, linewidth=0)
    ax.plot(places, values, color=style.color, linestyle=style.dashes, marker="o", markersize=3, label=label)


def path(ax: Axes, x: np.ndarray, y: np.ndarray, label: str, style: Style) -> None:
    """Draw one quantity against another, in the order in which they were passed through; a dot at the end."""
    ax.plot(x, y, color=style.color, linestyle=style.dashes, label=label)
    ax.plot(x[-1], y[-1], "o", color=style.color, markersize=4)


def level(ax: Axes, value: float, label: str, style: Style) -> None:
    """Draw one value as a horizontal line, for a method without what the other axis varies."""
    ax.axhline(value, color=style.color, linestyle=style.dashes, label=label)


def cumulative(ax: Axes, values: np.ndarray, label: str, style: Style) -> None:
    """Draw the share of seeds whose value lies below, as a staircase."""
    ax.ecdf(values, color=style.color, linestyle=style.dashes, label=label)


def diagonal(ax: Axes, end: float, slope: float = 1.0) -> None:
    """Draw the line from 0 to `end` of this slope, dotted unless it is 1."""
    ax.plot([0, end], [0, slope * end], color=IDEAL, linewidth=0.8, linestyle="-" if slope == 1.0 else ":")


def scatter(ax: Axes, x: np.ndarray, y: np.ndarray, label: str, style: Style) -> None:
    """Draw one dot a seed."""
    ax.plot(x, y, ".", color=style.color, markersize=3, alpha=0.6, label=label)


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
        ax.axvspan(shaded[0] - 0.5, shaded[-1] + 0.5, color="#F3D9B1", alpha=0.6, zorder=0)
    ax.set_title(label, fontsize=TITLE_SIZE)
    ax.set_xlim(-0.7, mass.size - 0.3)
