"""Charts on paper: matplotlib draws the descriptions of `charts`."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import matplotlib.colors
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator

from fpo_jax.plotting.charts import (
    MANY,
    Axis,
    Bars,
    Chart,
    HeatMap,
    Level,
    Line,
    Mark,
    Points,
    Span,
    is_geometric,
)
from fpo_jax.plotting.files import RC, TITLE_SIZE, panels
from fpo_jax.plotting.words import fitted, legend_columns

HEADING_SIZE = 9  # points
LEGEND_SIZE = 8  # points
MARGIN = 12  # points, of both sides of a figure
LINE, USUAL = 0.17, 3
"""Inches that each extra line of heading or legend adds to a figure."""
SHORT = 100.0
"""Largest ratio of the ends of a logarithmic axis with ticks at 1, 2, 5, not only at powers of ten."""
NAMED = 6
"""Most places along an axis that are all named."""


def figure(
    charts: Sequence[Sequence[Chart]],
    heading: str = "",
    *,
    size: tuple[float, float] | None = None,
    legend: str = "below",
    share: str = "",
) -> Figure:
    """Draw rows of charts as one figure, with one legend for all of them.

    Args:
        charts: the rows, of the same length each.
        heading: title of the figure, wrapped to its width.
        size: width and height in inches; panels of the standard size by default.
        legend: its place, "below" or "beside" the charts, or "none".
        share: the axes, "x", "y" or "xy", that all charts share; only the outer ones are named.
    """
    result, axes = panels(len(charts), len(charts[0]), sharex="x" in share, sharey="y" in share)
    if size is not None:
        result.set_size_inches(size)
    width = 72.0 * result.get_figwidth()
    with matplotlib.rc_context(RC):
        for row, own in zip(axes, charts, strict=True):
            for ax, chart in zip(row, own, strict=True):
                draw(ax, chart, room=0.84 * width / len(own))
                if share:
                    ax.label_outer()
            _explain_colours(result, row, own)
        lines = _name_all(result, axes, charts, legend)
        if heading:
            heading = fitted(heading, HEADING_SIZE, width - MARGIN)
            lines += heading.count("\n")
            result.suptitle(heading, fontsize=HEADING_SIZE)
    result.set_figheight(result.get_figheight() + LINE * max(0, lines - USUAL))
    return result


def draw(ax: Axes, chart: Chart, room: float = np.inf) -> Any:
    """Draw a chart on axes, its title wrapped to this many points; return the artist of its last mark."""
    drawn = None
    for mark in chart.marks:
        drawn = _draw(ax, mark)
    ax.set_title(fitted(chart.title, TITLE_SIZE, room), fontsize=TITLE_SIZE)
    for axis, name in ((chart.x, "x"), (chart.y, "y")):
        _shape(ax, axis, name)
    if not chart.marks:  # only a title
        ax.set_axis_off()
    return drawn


def _shape(ax: Axes, axis: Axis, name: str) -> None:
    """Give one axis of axes, "x" or "y", its title, scale, ends and names of places."""
    own = getattr(ax, f"{name}axis")
    if axis.title:
        getattr(ax, f"set_{name}label")(axis.title)
    if axis.log:
        getattr(ax, f"set_{name}scale")("log")
    if axis.limits is not None:
        getattr(ax, f"set_{name}lim")(axis.limits)
    if axis.ticks is not None:
        words = [
            words.replace("$", r"\$") for words in axis.ticks.values()
        ]  # names of files are not formulas
        getattr(ax, f"set_{name}ticks")(list(axis.ticks), words)
        own.set_minor_locator(NullLocator())
    elif axis.log:
        low, high = getattr(ax, f"get_{name}lim")()
        if high / low < SHORT:  # numbers rather than powers
            steps = (1.0, 2.0, 5.0) if high / low > SHORT**0.5 else (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
            own.set_major_locator(LogLocator(subs=steps))
            own.set_major_formatter("{x:g}")
            own.set_minor_formatter(NullFormatter())


def _draw(ax: Axes, mark: Mark) -> Any:
    match mark:
        case Line():
            return _line(ax, mark)
        case Points():
            return _points(ax, mark)
        case Level(value, label, style, vertical):
            width = 1.0 if style.dashes else 1.5  # an ideal, or a method
            line: dict[str, Any] = {"color": style.color, "linestyle": style.linestyle}
            line |= {"linewidth": width, "label": label}
            return ax.axvline(value, **line) if vertical else ax.axhline(value, **line)
        case Span(low, high):
            return ax.axvspan(low, high, color="#F3D9B1", alpha=0.6, zorder=0)
        case Bars():
            return _bars(ax, mark)
        case HeatMap():
            return _heat_map(ax, mark)


def _line(ax: Axes, mark: Line) -> Any:
    color = mark.style.color
    there = np.isfinite(mark.y)
    x = np.asarray(mark.x)[there]
    if mark.low is not None and mark.high is not None:
        ax.fill_between(x, mark.low[there], mark.high[there], color=color, alpha=0.13, linewidth=0)
    (drawn,) = ax.plot(
        x,
        mark.y[there],
        color=color,
        linestyle=mark.style.linestyle,
        linewidth=mark.width,
        alpha=0.25 if mark.faint else 1.0,
        drawstyle="steps-post" if mark.stairs else "default",
        marker="o" if mark.markers else "",
        markersize=3,
        label=mark.label,
    )
    if mark.dot and len(x):
        ax.plot(x[-1], mark.y[there][-1], "o", color=color, markersize=4)
    return drawn


def _points(ax: Axes, mark: Points) -> Any:
    color = mark.style.color
    if mark.low is not None and mark.high is not None:
        bars = ax.hlines if mark.sideways else ax.vlines
        across = mark.y if mark.sideways else mark.x
        bars(across, mark.low, mark.high, color=color, linewidth=4, alpha=0.25)
    many, hollow = mark.size < MANY, bool(mark.style.dashes)
    (drawn,) = ax.plot(
        mark.x,
        mark.y,
        "o",
        color=color,
        markerfacecolor="white" if hollow and not many else color,
        markersize=mark.size,
        markeredgewidth=1.0 if hollow and not many else 0.0,
        alpha=0.6 if many else 1.0,
        label=mark.label,
    )
    return drawn


def _bars(ax: Axes, mark: Bars) -> Any:
    starts = np.zeros(len(mark.lengths)) if mark.starts is None else mark.starts
    common: dict[str, Any] = {"color": mark.style.color, "label": mark.label}
    if mark.sideways:
        drawn = ax.barh(mark.places, mark.lengths, left=starts, height=0.6, **common)
    else:
        drawn = ax.bar(mark.places, mark.lengths, bottom=starts, width=0.8, **common)
    if mark.written:
        ax.bar_label(drawn, mark.written, label_type="center", fontsize=8, color="white")
    ax.tick_params(axis="y" if mark.sideways else "x", length=0)
    return drawn


def _heat_map(ax: Axes, mark: HeatMap) -> Any:
    """Draw cells that meet halfway between places; an axis is logarithmic if its places are."""
    low, high = mark.limits
    ax.set_facecolor("#BDBDBD")  # colour of undefined cells
    edges = _edges(mark.x), _edges(mark.y)
    drawn = ax.pcolormesh(*edges, mark.values, cmap=mark.colours, vmin=low, vmax=high, rasterized=True)
    for places, axis, scale in ((mark.x, ax.xaxis, ax.set_xscale), (mark.y, ax.yaxis, ax.set_yscale)):
        if is_geometric(places):
            scale("log")
        if len(places) <= NAMED:
            axis.set_major_locator(FixedLocator(list(places)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
    if mark.written:
        ax.tick_params(length=0)
        for (row, column), value in np.ndenumerate(mark.values):
            ink = "white" if value - low > 0.6 * (high - low) else "black"
            x, y = float(mark.x[column]), float(mark.y[row])
            shown = f"{value:z.2f}" if np.isfinite(value) else "–"
            ax.text(x, y, shown, ha="center", va="center", size=7, color=ink)
    return drawn


def stops(colours: str, number: int = 9) -> list[tuple[float, str]]:
    """Return evenly spaced stops of a colour map, from 0 to 1, each with its #rrggbb."""
    chosen = matplotlib.colormaps[colours]
    return [(float(x), matplotlib.colors.to_hex(chosen(x))) for x in np.linspace(0.0, 1.0, number)]


def _edges(places: np.ndarray) -> np.ndarray:
    """Return the borders between places, halfway by difference or by ratio, and one beyond each end."""
    places = np.asarray(places, dtype=float)
    if is_geometric(places):
        return np.exp(_edges_between(np.log(places)))
    return _edges_between(places)


def _edges_between(places: np.ndarray) -> np.ndarray:
    if len(places) == 1:
        return places[0] + np.array([-0.5, 0.5])
    inner = (places[1:] + places[:-1]) / 2.0
    return np.concatenate([[2.0 * places[0] - inner[0]], inner, [2.0 * places[-1] - inner[-1]]])


def _explain_colours(result: Figure, row: Sequence[Axes], charts: Sequence[Chart]) -> None:
    """Put a colour bar beside a row of heat maps with one scale, unless values are written."""
    maps = [mark for chart in charts for mark in chart.marks if isinstance(mark, HeatMap)]
    if maps and not maps[0].written:
        result.colorbar(row[-1].collections[0], ax=list(row), label=maps[0].label, pad=0.02)


def _name_all(result: Figure, axes: np.ndarray, charts: Sequence[Sequence[Chart]], legend: str) -> int:
    """Put one legend below the charts or beside them, levels last; return its number of lines below."""
    marks = [mark for row in charts for chart in row for mark in chart.marks]
    levels = [mark.label for mark in marks if isinstance(mark, Level)]
    named: dict[str, Any] = {}
    for ax in axes.flat:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    labels = sorted(named, key=levels.__contains__)
    if not labels or legend == "none":
        return 0
    beside = legend == "beside"
    columns = 1 if beside else legend_columns(labels, LEGEND_SIZE, 72.0 * result.get_figwidth() - MARGIN)
    result.legend(
        [named[label] for label in labels],
        labels,
        loc="outside right center" if beside else "outside lower center",
        ncols=columns,
        fontsize=LEGEND_SIZE,
        frameon=False,
    )
    return 0 if beside else math.ceil(len(labels) / columns)
