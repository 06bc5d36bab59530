"""What a chart shows, as plain data, for whoever draws it: `plotting.figure` on paper, `report` on a page.

A chart is a pair of axes and the marks on them, in the order in which they are drawn and named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fpo_jax.plotting.palette import IDEAL, Style


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of a chart.

    Attributes:
        title: what is along it, and in which unit.
        log: whether it is logarithmic.
        limits: its ends, None where one follows from what is drawn; the larger first turns it round.
        ticks: names of places, in place of numbers.
    """

    title: str = ""
    log: bool = False
    limits: tuple[float | None, float | None] | None = None
    ticks: Mapping[float, str] | None = None


@dataclass(frozen=True, eq=False)
class Line:
    """A line through points, with a band around it where it has one.

    Attributes:
        x, y: [point]. Where `y` is NaN, there is no point.
        style: its colour and dashes.
        label: its name in the legend; none if empty.
        low, high: [point] ends of the band.
        method: the method to which it belongs, if that is not its label: a page switches methods off.
        markers: whether points are marked.
        stairs: whether `y` stays as it is up to the next point.
        dot: whether the last point is marked.
        width: of the line, in points.
        faint: whether it lies in the background.
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
    """Points that no line joins, each with an interval where it has one.

    Attributes:
        x, y: [point].
        style: its colour; a point of a style with dashes is hollow.
        label: as that of a line.
        low, high: [point] ends of the intervals, along `y`, or along `x` where these are `sideways`.
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
    """One value right across the chart: an ideal, or a method without what the other axis varies."""

    value: float
    label: str = ""
    style: Style = IDEAL
    vertical: bool = False


@dataclass(frozen=True, eq=False)
class Span:
    """The ground from `low` to `high` along the horizontal axis, shaded: the blind spot."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Bars:
    """Bars at places, upright, or lying where they are `sideways`.

    Attributes:
        places, lengths: [bar].
        starts: [bar] where they begin; 0 when not given.
        written: [bar] what stands on them; nothing when not given.
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
        colours: name of the colours, one of `COLOURS`.
        label: what the values are.
        written: whether they are written on the cells, in place of a bar that explains the colours.
    """

    x: np.ndarray
    y: np.ndarray
    values: np.ndarray
    limits: tuple[float, float]
    colours: str
    label: str = ""
    written: bool = False


MANY = 3.0
"""Points of less than this size are half transparent, since there are many."""
COLOURS = ("viridis", "magma_r", "Blues")
Mark = Line | Points | Level | Span | Bars | HeatMap


@dataclass(frozen=True, eq=False)
class Chart:
    """A pair of axes and what is drawn on them; `method` is set if all of it belongs to one."""

    title: str
    marks: Sequence[Mark]
    x: Axis = Axis()
    y: Axis = Axis()
    method: str = ""

    def with_marks(self, *marks: Mark) -> "Chart":
        """Return a chart that has these marks as well."""
        return replace(self, marks=[*self.marks, *marks])

    def without_bands(self) -> "Chart":
        """Return a chart of the lines alone, where bands would hide each other."""
        bare = [replace(m, low=None, high=None) if isinstance(m, Line) else m for m in self.marks]
        return replace(self, marks=bare)


def is_geometric(places: np.ndarray) -> bool:
    """Say whether positive places are spaced more evenly by ratio than by difference."""
    places = np.sort(np.asarray(places, dtype=float))
    if len(places) < 3 or places[0] <= 0:
        return False

    def unevenness(steps: np.ndarray) -> float:
        return float(steps.std() / steps.mean())

    return unevenness(np.diff(np.log(places))) < unevenness(np.diff(places))
