"""Shares of a whole: bars that are cut into parts, and shares with their intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from fpo_jax.plotting.style import EXACT, IDEAL

NARROW = 0.06
"""A part below this share of its bar is not written on."""


def divided_bars(
    ax: Axes, counts: Mapping[str, Sequence[int]], labels: Sequence[str], colors: Sequence[str]
) -> None:
    """Draw a horizontal bar for each label, cut into its counts, which are written on their parts.

    Args:
        ax: axes to draw on.
        counts: [bar] each, by the name of the part, from left to right.
        labels: [bar], from top to bottom.
        colors: of the parts.
    """
    totals = np.maximum(np.sum(list(counts.values()), axis=0), 1)
    places, start = range(len(labels)), np.zeros(len(labels))
    for (name, part), color in zip(counts.items(), colors, strict=True):
        shares = np.asarray(part) / totals
        ax.barh(places, shares, left=start, color=color, height=0.6, label=name)
        for place, share, left, count in zip(places, shares, start, part, strict=True):
            if share >= NARROW:
                ax.text(
                    left + share / 2, place, str(count), ha="center", va="center", fontsize=8, color="white"
                )
        start = start + shares
    ax.set_yticks(list(places), list(labels))
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.set_xlim(0.0, 1.0)


def share_intervals(ax: Axes, shares: Sequence[float], intervals: Sequence[tuple[float, float]]) -> None:
    """Draw shares as dots with their intervals, from top to bottom, and even odds as a dashed line.

    A share that is NaN is left out. Even odds stand in the middle, so that sides can be compared.
    """
    ax.axvline(0.5, color=IDEAL, linestyle="--", linewidth=1)
    farthest = 0.05
    for place, (share, (low, high)) in enumerate(zip(shares, intervals, strict=True)):
        if np.isfinite(share):
            ends = [[share - low], [high - share]]
            ax.errorbar([share], [place], xerr=ends, fmt="o", color=EXACT.color, markersize=4, capsize=3)
            farthest = max(farthest, 0.5 - low, high - 0.5)
    ax.set_xlim(0.5 - 1.1 * farthest, 0.5 + 1.1 * farthest)
    ax.set_ylim(len(shares) - 0.5, -0.5)
