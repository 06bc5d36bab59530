"""Marks for results over seeds: over iterations, in groups, one by one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fpo_jax.plotting.charts import Axis, Bars, Chart, Line, Mark, Points, Span
from fpo_jax.plotting.palette import DOTS, EXACT, IDEAL, Style

MIDDLE = (0.1, 0.9)
"""A band holds the seeds between these quantiles: the middle 80 %."""


def over_seeds(
    values: np.ndarray,
    label: str,
    style: Style,
    x: np.ndarray | None = None,
    centre: Callable[..., Any] = np.mean,
    method: str = "",
) -> Line:
    """Return the mean over seeds and the band that holds the middle 80 % of them.

    Args:
        values: [seed, entry]; values that are not finite are excluded.
        label: name in the legend.
        style: colour and dashes.
        x: [entry] iterations of the entries; 0, 1, 2 … by default.
        centre: function of the seeds to draw instead of their mean.
        method: the method of the line, if that is not its label.
    """
    x = np.arange(values.shape[1]) if x is None else x
    line, low, high = np.full((3, values.shape[1]), np.nan)
    if np.isfinite(values).all():
        line = centre(values, axis=0)
        low, high = np.quantile(values, MIDDLE, axis=0)
    else:
        for entry, column in enumerate(values.T):
            seeds = column[np.isfinite(column)]
            if seeds.size:
                line[entry] = centre(seeds)
                low[entry], high[entry] = np.quantile(seeds, MIDDLE)
    band = (low, high) if len(values) > 1 else (None, None)
    return Line(x, line, style, label, band[0], band[1], method=method)


def ended_below(values: np.ndarray, label: str, style: Style) -> Line:
    """Return the share of seeds with a value below x, as a staircase."""
    ends = np.sort(values)
    share = np.arange(len(values) + 1) / len(values)
    return Line(np.concatenate([ends[:1], ends]), share, style, label, stairs=True)


def middle(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean over seeds, the last axis, and the two ends of the middle 80 % of them."""
    low, high = np.quantile(values, MIDDLE, axis=-1)
    return np.mean(values, axis=-1), low, high


def against(places: Sequence[float] | np.ndarray, estimate: Sequence[Any], label: str, style: Style) -> Line:
    """Return estimates at places as a marked line, with their intervals as a band.

    Args:
        places: [place] positions.
        estimate: values and the two ends of their intervals, [place] each; further entries are ignored.
        label: name in the legend.
        style: colour and dashes.
    """
    values, low, high = (np.asarray(part, dtype=float) for part in estimate[:3])
    return Line(np.asarray(places), values, style, label, low, high, markers=True)


def side_by_side(groups: Mapping[str, np.ndarray], title: str, x_title: str = "") -> Chart:
    """Return the mean of each group of seeds, with a bar for the middle 80 % of them."""
    places = np.arange(len(groups))
    means, low, high = np.transpose([middle(seeds) for seeds in groups.values()])
    ticks = {float(place): name for place, name in zip(places, groups, strict=True)}
    return Chart(title, [Points(places, means, EXACT, "", low, high, size=4.0)], Axis(x_title, ticks=ticks))


def diagonal(end: float, slope: float = 1.0) -> Line:
    """Return the line from 0 to `end` with this slope, dotted unless the slope is 1."""
    style = Style(IDEAL.color, () if slope == 1.0 else DOTS)
    return Line(np.array([0.0, end]), np.array([0.0, slope * end]), style, width=0.8)


def policy_bars(mass: np.ndarray, planted: np.ndarray, style: Style, title: str, x_title: str = "") -> Chart:
    """Return a policy over arms, with a shaded background for planted arms.

    Args:
        mass: [arms] probability of each arm.
        planted: [arms] 1 for planted arms, which are consecutive.
        style: colour.
        title, x_title: titles of the chart and of the axis of arms.
    """
    arms = np.arange(mass.size)
    marks: list[Mark] = [Bars(arms, mass, style)]
    shaded = arms[planted > 0.5]
    if shaded.size:
        marks.append(Span(shaded[0] - 0.5, shaded[-1] + 0.5))
    return Chart(title, marks, Axis(x_title, limits=(-0.7, mass.size - 0.3)))
