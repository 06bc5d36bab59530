"""Charts and the figure of comparisons of answers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.plotting import Axis, Bars, Chart, Level, Points, Style

STYLES = {"wins": plotting.EXACT, "ties": Style("#9A9A9A"), "losses": plotting.RLHF}
NARROW = 0.06
"""A part below this share of its bar has no text."""


def outcomes(rows: Sequence[Mapping[str, Any]]) -> Chart:
    """Return a bar of wins, ties and losses for each comparison, as shares of the judged pairs."""
    totals = np.maximum([sum(row[name] for name in STYLES) for row in rows], 1)
    places, starts, bars = np.arange(len(rows)), np.zeros(len(rows)), []
    for name, style in STYLES.items():
        counts = np.array([row[name] for row in rows])
        shares = counts / totals
        written = [str(n) if part >= NARROW else "" for n, part in zip(counts, shares, strict=True)]
        bars.append(Bars(places, shares, style, name, starts, written, sideways=True))
        starts = starts + shares
    return Chart("", bars, Axis("share of the judged pairs", limits=(0.0, 1.0)), _names(rows))


def win_rates(rows: Sequence[Mapping[str, Any]]) -> Chart:
    """Return win rates with their intervals, and even odds, which stand in the middle, as a dashed line.

    A comparison without decisions is excluded.
    """
    decided = [row for row in rows if row["win_rate"] is not None]
    places = np.array([place for place, row in enumerate(rows) if row["win_rate"] is not None], dtype=int)
    rates = np.array([row["win_rate"] for row in decided])
    low, high = np.reshape([row["win_rate_ci95"] for row in decided], (-1, 2)).T
    farthest = max([0.05, *(0.5 - low), *(high - 0.5)])
    title = "win rate, 95 % interval"
    x = Axis(title, limits=(0.5 - 1.1 * farthest, 0.5 + 1.1 * farthest))
    dots = Points(rates, places, plotting.EXACT, "", low, high, sideways=True)
    return Chart("", [Level(0.5, vertical=True), dots], x, _names(rows))


def _names(rows: Sequence[Mapping[str, Any]]) -> Axis:
    """Return the axis of comparisons, from top to bottom."""
    ticks = {float(place): row["label"] for place, row in enumerate(rows)}
    return Axis(limits=(len(rows) - 0.5, -0.5), ticks=ticks)


def draw(rows: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """Draw each comparison: wins, ties and losses as a bar, and beside it the win rate, its interval."""
    size = (7.2, 1.5 + 0.42 * len(rows))
    figure = plotting.figure([[outcomes(rows), win_rates(rows)]], size=size, share="y")
    figure.set_layout_engine("constrained", w_pad=0.12)  # numbers of the two axes stay apart
    return {"outcome": figure}
