"""Phase diagrams: a heat map over two hyperparameters."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.image import AxesImage
from matplotlib.ticker import FixedLocator, NullLocator

from fpo_jax.plotting.style import TITLE_SIZE

NAMED = 6
"""Most places along an axis of which each is named."""


def is_geometric(places: np.ndarray) -> bool:
    """Say whether positive places are spaced more evenly by ratio than by difference."""
    places = np.sort(np.asarray(places, dtype=float))
    if len(places) < 3 or places[0] <= 0:
        return False

    def unevenness(steps: np.ndarray) -> float:
        return float(steps.std() / steps.mean())

    return unevenness(np.diff(np.log(places))) < unevenness(np.diff(places))


def heat_map(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    values: np.ndarray,
    title: str,
    *,
    colours: str,
    limits: tuple[float, float],
) -> ScalarMappable:
    """Draw a value for each pair of hyperparameters, and return what a colour bar needs.

    An axis is logarithmic where its places are spaced like that; a cell that is NaN stays grey.

    Args:
        ax: axes to draw on.
        x: [columns] places along the horizontal axis, rising.
        y: [rows] places along the vertical axis, rising.
        values: [rows, columns].
        title: title of the panel.
        colours: name of a colour map.
        limits: values of its two ends.
    """
    ax.set_facecolor("#BDBDBD")
    low, high = limits
    edges = _edges(x), _edges(y)
    drawn = ax.pcolormesh(*edges, values, cmap=colours, vmin=low, vmax=high, rasterized=True)
    for places, axis, scale in ((x, ax.xaxis, ax.set_xscale), (y, ax.yaxis, ax.set_yscale)):
        if is_geometric(places):
            scale("log")
        if len(places) <= NAMED:
            axis.set_major_locator(FixedLocator(list(places)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
    ax.set_title(title, fontsize=TITLE_SIZE)
    return drawn


def heat_table(
    ax: Axes, values: np.ndarray, rows: Sequence[str], columns: Sequence[str], limits: tuple[float, float]
) -> AxesImage:
    """Draw a table of values as colours with the numbers written on them, and return its image.

    Args:
        ax: axes to draw on.
        values: [rows, columns].
        rows, columns: what stands beside the rows, from the bottom, and under the columns.
        limits: values of the palest and the darkest colour.
    """
    image = ax.imshow(values, origin="lower", cmap="Blues", vmin=limits[0], vmax=limits[1], aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        ink = "white" if value - limits[0] > 0.6 * (limits[1] - limits[0]) else "black"
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", size=7, color=ink)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(length=0)
    return image


def _edges(places: np.ndarray) -> np.ndarray:
    """Return the borders between places, halfway by difference or by ratio, and one beyond either end."""
    places = np.asarray(places, dtype=float)
    if is_geometric(places):
        return np.exp(_edges_between(np.log(places)))
    return _edges_between(places)


def _edges_between(places: np.ndarray) -> np.ndarray:
    inner = (places[1:] + places[:-1]) / 2.0
    return np.concatenate([[2.0 * places[0] - inner[0]], inner, [2.0 * places[-1] - inner[-1]]])
