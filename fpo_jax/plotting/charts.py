"""Charts as plain data: `plotting.figure` draws them on paper, `report` on a page.

A chart is a pair of axes and their marks, in the order of drawing and of the legend.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fpo_jax.plotting.palette import IDEAL, Style


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of a chart.

    Attributes:
        title: its quantity and unit.
        log: whether it is logarithmic.
        limits: its ends; None takes an end from the data, and the larger value first reverses the axis.
        ticks: names to write instead of numbers.
    """

    title: str = ""
    log: bool = False
    limits: tuple[float | None, float | None] | None = None
    ticks: Mapping[float, str] | None = None


@dataclass(frozen=True, eq=False)
class Line:
    """A line through points, optionally with a band around it.

    Attributes:
        x, y: [point]. Where `y` is NaN, there is no point.
        style: its colour and dashes.
        label: its name in the legend; none if empty.
        low, high: [point] ends of the band.
        method: its method, if that is not its label; a page can hide methods.
        markers: whether to mark the points.
        stairs: whether `y` is constant up to the next point.
        dot: whether to mark the last point.
        width: of the line, in points.
        faint: whether it is in the background.
    """

    x: np.ndarray
    y: np.ndarray
    style: Style
    label: str = ""
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    method: str = ""
    markers: bool = False
    stairs: bool = False
    dot: bool = False
    width: float = 1.5
    faint: bool = False


@dataclass(frozen=True, eq=False)
class Points:
    """Separate points, optionally with intervals.

    Attributes:
        x, y: [point].
        style: its colour; a point of a style with dashes is hollow.
        label: as for a line.
        low, high: [point] ends of the intervals, along `y`, or along `x` if `sideways`.
        size: of a point, in points; half transparent below `MANY`.
    """

    x: np.ndarray
    y: np.ndarray
    style: Style
    label: str = ""
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    sideways: bool = False
    size: float = 5.0


@dataclass(frozen=True, eq=False)
class Level:
    """A horizontal level across the chart: an ideal, or a method without the parameter that the axis
    varies.
    """

    value: float
    label: str = ""
    style: Style = IDEAL
    vertical: bool = False


@dataclass(frozen=True, eq=False)
class Span:
    """A shaded background from `low` to `high` along the horizontal axis: the blind spot."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Bars:
    """Bars at places, upright, or horizontal if `sideways`.

    Attributes:
        places, lengths: [bar].
        starts: [bar] where they begin; 0 by default.
        written: [bar] text on them; nothing by default.
    """

    places: np.ndarray
    lengths: np.ndarray
    style: Style
    label: str = ""
    starts: np.ndarray | None = None
    written: Sequence[str] = ()
    sideways: bool = False


@dataclass(frozen=True, eq=False)
class HeatMap:
    """A value for each pair of places.

    Attributes:
        x: [columns] places along the horizontal axis, rising.
        y: [rows] places along the vertical axis, rising.
        values: [rows, columns]; a cell that is NaN stays empty.
        limits: values of the two ends of the colours.
        colours: name of the colour map, one of `COLOURS`.
        label: name of the values.
        written: whether to write them on the cells instead of a colour bar.
    """

    x: np.ndarray
    y: np.ndarray
    values: np.ndarray
    limits: tuple[float, float]
    colours: str
    label: str = ""
    written: bool = False


MANY = 3.0
"""Points smaller than this are half transparent, since there are many."""
COLOURS = ("viridis", "magma_r", "Blues")
Mark = Line | Points | Level | Span | Bars | HeatMap


@dataclass(frozen=True, eq=False)
class Chart:
    """A pair of axes and their marks; `method` is set if all marks belong to one method."""

    title: str
    marks: Sequence[Mark]
    x: Axis = Axis()
    y: Axis = Axis()
    method: str = ""

    def with_marks(self, *marks: Mark) -> "Chart":
        """Return the chart with these marks added."""
        return replace(self, marks=[*self.marks, *marks])

    def without_bands(self) -> "Chart":
        """Return the chart without bands, for lines whose bands would hide each other."""
        bare = [replace(m, low=None, high=None) if isinstance(m, Line) else m for m in self.marks]
        return replace(self, marks=bare)


def is_geometric(places: np.ndarray) -> bool:
    """Say whether positive places are more evenly spaced on a logarithmic scale."""
    places = np.sort(np.asarray(places, dtype=float))
    if len(places) < 3 or places[0] <= 0:
        return False

    def unevenness(steps: np.ndarray) -> float:
        return float(steps.std() / steps.mean())

    return unevenness(np.diff(np.log(places))) < unevenness(np.diff(places))
