"""Charts on a page: charts of `plotting.charts` as JSON, which `charts.js` draws with plotly."""

import html
from collections.abc import Mapping
from typing import Any

import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.core.wording import distinct
from fpo_jax.experiments.report.parts import Drawn, numbers
from fpo_jax.plotting import Axis, Bars, Chart, HeatMap, Level, Line, Mark, Points, Span, Style

MOST_POINTS = 300
"""Most points of a line."""


def as_data(chart: Chart, methods: Mapping[str, Style]) -> Drawn:
    """Return a chart as `charts.js` reads it.

    Args:
        chart: the chart.
        methods: styles by method. A reader can switch off the marks of these methods.
    """
    maps = [mark for mark in chart.marks if isinstance(mark, HeatMap)]
    own: Drawn = {"method": chart.method} if chart.method in methods else {}
    if maps:
        return own | _heat_map(chart, maps[0])
    marks = [(mark, _drawn(mark)) for mark in chart.marks]
    lines = [drawn for mark, drawn in marks if isinstance(mark, Line)]
    if len(lines) == len(chart.marks) - _count(chart, Level | Span) and _have_one_x(lines):
        own["x"] = lines[0]["x"]  # all lines share it
        for line in lines:
            del line["x"]
    for mark, drawn in marks:
        belongs = getattr(mark, "method", "") or mark.label if not isinstance(mark, Span) else ""
        if belongs in methods:
            drawn["method"] = belongs
    axes = {"x_axis": _axis(chart.x), "y_axis": _axis(chart.y)}
    return {"kind": "marks", "title": chart.title, **own, **axes, "marks": [drawn for _, drawn in marks]}


def style_data(style: Style) -> dict[str, str]:
    """Return a style for the page: its colours on light and on dark background, and its dashes."""
    dash = ",".join(f"{2 * length:g}px" for length in style.dashes) or "solid"
    return {"light": style.color, "dark": on_dark(style.color), "dash": dash}


def on_dark(colour: str) -> str:
    """Return a colour #RRGGBB with its lightness mirrored, for a dark background."""
    import colorsys

    hue, lightness, saturation = colorsys.rgb_to_hls(*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)))
    red, green, blue = colorsys.hls_to_rgb(hue, 0.95 - 0.7 * lightness, min(saturation, 0.8))
    return "#" + "".join(f"{round(255 * channel):02X}" for channel in (red, green, blue))


def _count(chart: Chart, kinds: Any) -> int:
    return sum(isinstance(mark, kinds) for mark in chart.marks)


def _have_one_x(lines: list[Drawn]) -> bool:
    return bool(lines) and not any("stairs" in line or line["x"] != lines[0]["x"] for line in lines)


def _axis(axis: Axis) -> Drawn:
    drawn: Drawn = {"title": axis.title}
    if axis.log:
        drawn["log"] = True
    if axis.limits is not None:
        drawn["limits"] = list(axis.limits)
    if axis.ticks is not None:
        names = [html.escape(name, quote=False) for name in axis.ticks.values()]  # plotly would read links
        drawn |= {"places": numbers(list(axis.ticks)), "names": names}
    return drawn


def _drawn(mark: Mark) -> Drawn:
    match mark:
        case Line():
            return _line(mark)
        case Points():
            ends = {} if mark.low is None else {"low": numbers(mark.low), "high": numbers(mark.high)}
            dots = {"kind": "points", "label": mark.label, "x": numbers(mark.x), "y": numbers(mark.y)}
            size = {"size": mark.size, "sideways": mark.sideways, "hollow": bool(mark.style.dashes)}
            return dots | size | ends | style_data(mark.style)
        case Level(value, label, style, vertical):
            level = {"kind": "level", "value": numbers(value), "label": label, "vertical": vertical}
            return level | style_data(style)
        case Span(low, high):
            return {"kind": "span", "low": low, "high": high}
        case Bars():
            starts = np.zeros(len(mark.places)) if mark.starts is None else mark.starts
            arrays = {"places": mark.places, "lengths": mark.lengths, "starts": starts}
            bars = {"kind": "bars", "label": mark.label, "sideways": mark.sideways}
            bars |= {name: numbers(values) for name, values in arrays.items()}
            return bars | {"written": list(mark.written)} | style_data(mark.style)
        case HeatMap():
            raise TypeError("a heat map stands alone on its axes")


def _line(mark: Line) -> Drawn:
    chosen = _thinned(len(mark.x))
    x = np.asarray(mark.x)[chosen]
    whole = np.issubdtype(x.dtype, np.integer)
    drawn = {"kind": "line", "label": mark.label, "x": x.tolist() if whole else numbers(x)}
    drawn["y"] = numbers(np.asarray(mark.y)[chosen])
    if mark.low is not None and mark.high is not None:
        drawn |= {"low": numbers(mark.low[chosen]), "high": numbers(mark.high[chosen])}
    said = {"stairs": mark.stairs, "markers": mark.markers, "dot": mark.dot, "faint": mark.faint}
    drawn |= {name: True for name, value in said.items() if value}
    return drawn | {"width": mark.width} | style_data(mark.style)


def _thinned(entries: int) -> np.ndarray:
    """Return which entries to draw: half evenly spaced, half geometrically, since most change is early."""
    half = MOST_POINTS // 2
    evenly, early = np.linspace(0, entries - 1, half), np.geomspace(1, entries, half) - 1
    return np.unique(np.round(np.concatenate([evenly, early])).astype(int))


def _heat_map(chart: Chart, heat: HeatMap) -> Drawn:
    return {
        "kind": "map",
        "title": f"{chart.title}: {heat.label}" if heat.label else chart.title,
        "axes": [chart.y.title, chart.x.title],
        "ticks": [distinct(np.asarray(places).tolist()) for places in (heat.y, heat.x)],
        "z": numbers(heat.values),
        "limits": numbers(list(heat.limits)),
        "colours": plotting.stops(heat.colours),
    }
