"""Traces drawn on axes; the only place that knows matplotlib.

Colours follow the paper's convention, RLHF red and FPO blue, in shades that colour-blind readers tell
apart; every method also has its own dash pattern, so that figures survive a black-and-white printer.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter

IDEAL = "#000000"
TITLE_SIZE = 10  # points
WRITTEN = 8
"""Cells a side of the largest grid on whose map the values are written."""
PANEL = (3.4, 2.7)  # inches of one panel: legible when two stand side by side on a page

RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # text stays text
}
"""Our settings, in force while a figure is made or written; a user's own stay as they are."""


class Motion(NamedTuple):
    """A figure that moves: `draw(frame)` draws one of its frames."""

    figure: Figure
    draw: Callable[[int], None]
    frames: int


Picture = Figure | Motion


class Style(NamedTuple):
    """How one method is drawn: its colour and its dash pattern."""

    color: str
    dashes: Any


RLHF = Style("#C8321E", "-")
_FPO_STYLES = {
    "exact": [Style("#08306B", "-"), Style("#08306B", (0, (1, 1)))],
    "relaxed": [Style("#2171B5", (0, (6, 2))), Style("#2171B5", (0, (3, 1, 1, 1)))],
    "proximal": [Style("#1B7F5C", "-"), Style("#1B7F5C", (0, (4, 1.5)))],
    "practical": [Style("#5FA8E0", (0, (2, 1.2))), Style("#5FA8E0", (0, (5, 1, 1, 1, 1, 1)))],
}
EXACT = _FPO_STYLES["exact"][0]
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


def ladder_styles(labels: Sequence[str]) -> dict[str, Style]:
    """Return one style for each of up to twenty routes: colours of one family, dashes that differ."""
    colours = matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]
    dashes = ("-", (0, (4, 1.5)))
    return {
        label: Style(matplotlib.colors.to_hex(colours[i % 10]), dashes[i // 10 % 2])
        for i, label in enumerate(labels)
    }


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


def logarithmic(ax: Axes) -> None:
    """Make the vertical axis logarithmic, with plain numbers at 1, 2 and 5."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())


def accuracy_against_cost(
    ax: Axes, points: Mapping[str, tuple[float, float]], styles: Mapping[str, Style]
) -> None:
    """Draw each route as a point: microseconds of one estimate, and its relative error."""
    floor = 1e-17  # an error of exactly 0 has no logarithm
    for label, (cost, error) in points.items():
        filled = styles[label].color if styles[label].dashes == "-" else "white"
        marker: dict[str, Any] = {"color": styles[label].color, "markerfacecolor": filled, "linestyle": ""}
        ax.plot(cost, max(error, floor), "o", markersize=5, label=label, **marker)
    ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=8, frameon=False)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("one estimate (µs)")
    ax.set_ylabel("relative error of the correction")


def scatter_exact(
    ax: Axes, exact: np.ndarray, approximate: np.ndarray, blind_spot: np.ndarray, title: str
) -> None:
    """Draw an approximation against the exact value, response by response, with the diagonal."""
    ends = [float(exact.min()), float(exact.max())]
    ax.plot(ends, ends, color=IDEAL, linestyle="--", linewidth=0.8)
    ax.scatter(exact, approximate, s=12, c=np.where(blind_spot > 0.5, "#E08214", "#2171B5"), linewidths=0)
    ax.set_title(title, fontsize=TITLE_SIZE)


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
    ax.streamplot(grid[0], grid[1], *field, color="#6A6A6A", density=0.9, linewidth=0.6, arrowsize=0.7)
    landscape(ax, grid, utility, [np.stack(path, axis=-1) for path in trajectories], style, title)


def landscape(
    ax: Axes,
    grid: tuple[np.ndarray, np.ndarray],
    utility: np.ndarray,
    paths: Sequence[np.ndarray],
    style: Style,
    title: str,
) -> None:
    """Draw utility on a plane as grey contours, and paths over it, [step, 2] each, with a dot at the end."""
    levels = np.linspace(0.0, float(utility.max()), 11)
    ax.contourf(*grid, utility, levels=levels, cmap=_PALE_GREYS, zorder=0)
    for path in paths:
        ax.plot(*path.T, color=style.color, linewidth=1.2, alpha=0.75)
        ax.plot(*path[-1], "o", color=style.color, markersize=4, markeredgecolor="white")
    ax.set_title(title, fontsize=TITLE_SIZE)


def grid_panels(number: int, shape: tuple[int, int]) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure of panels, at most three in a row, for maps of a grid of this shape; and its axes."""
    columns = min(number, 3)
    rows = -(-number // columns)
    width = 2.6  # inches
    height = width * min(max(shape[0] / shape[1], 0.4), 1.6) + 0.25
    with matplotlib.rc_context(RC):
        figure = Figure((width * columns, height * rows + 0.45), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[number:]:
        ax.set_axis_off()
    return figure, list(axes[:number])


def grid_map(
    ax: Axes, values: np.ndarray, layout: Any, title: str, colours: str, scale: float | None = None
) -> AxesImage:
    """Draw a value for each cell of a grid, with start, goal, decoys and walls, and return its image.

    Colours go like the square root of the value, so that small ones are seen.

    Args:
        ax: axes to draw on.
        values: [rows, columns], >= 0. On a grid of up to `WRITTEN` cells a side also written, in hundredths.
        layout: what each cell is, [rows, columns] indicators `start`, `goal`, `decoy` and `wall`.
        title: title of the panel.
        colours: name of a colour map that begins with white.
        scale: value of the darkest colour; the largest value by default.
    """
    norm = PowerNorm(0.5, vmin=0.0, vmax=float(values.max()) if scale is None else scale)
    image = ax.imshow(values, cmap=colours, norm=norm)
    for row, column in np.argwhere(np.asarray(layout.wall) > 0):
        ax.add_patch(_cell(row, column, facecolor="#4A4A4A", edgecolor="#4A4A4A"))
    for row, column in np.argwhere(np.asarray(layout.decoy) > 0):
        ax.add_patch(_cell(row, column, inset=0.06, fill=False, edgecolor="#E08214", linewidth=2))
    size = float(np.clip(60 / max(values.shape), 4, 9))
    for sign, marks in (("S", layout.start), ("G", layout.goal), ("D", layout.decoy)):
        for row, column in np.argwhere(np.asarray(marks) > 0):
            ink = "white" if norm(values[row, column]) > 0.6 else "black"
            ax.text(
                column - 0.3, row - 0.24, sign, ha="center", va="center", size=size, weight="bold", color=ink
            )
    if max(values.shape) <= WRITTEN:
        for (row, column), value in np.ndenumerate(values):
            if value >= 0.005:
                ink = "white" if norm(value) > 0.6 else "black"
                ax.text(
                    column + 0.42, row + 0.3, f"{100 * value:.0f}", ha="right", va="center", size=7, color=ink
                )
    ax.set_title(title, fontsize=TITLE_SIZE)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_color("#8A8A8A")
    return image


def grid_arrows(ax: Axes, logits: np.ndarray, moves: Sequence[tuple[int, int]], layout: Any) -> None:
    """Draw the greedy move of each open cell as an arrow; a dot where no move is preferred.

    Args:
        ax: axes to draw on.
        logits: [rows, columns, moves] of the softmax policy.
        moves: (row, column) of each move.
        layout: as in `grid_map`.
    """
    best = np.argmax(logits, axis=2)
    preferred = np.max(logits, axis=2) - np.min(logits, axis=2) > 1e-3
    is_open = np.asarray(layout.wall) == 0
    down, right = (np.asarray(moves)[best][..., axis] for axis in (0, 1))
    rows, columns = np.nonzero(is_open & preferred)
    ax.quiver(
        columns,
        rows,
        0.6 * right[rows, columns],
        0.6 * down[rows, columns],
        pivot="middle",
        angles="xy",
        scale_units="xy",
        scale=1.0,
        units="xy",
        width=0.07,
        color="#C8321E",
    )
    rows, columns = np.nonzero(is_open & ~preferred)
    ax.plot(columns, rows, ".", color="#C8321E", markersize=2, linestyle="")


def _cell(row: int, column: int, inset: float = 0.0, **options: Any) -> Rectangle:
    side = 1.0 - 2.0 * inset
    return Rectangle((column - 0.5 + inset, row - 0.5 + inset), side, side, **options)


def save(picture: Picture, folder: Path, name: str) -> str:
    """Write a figure as PDF and PNG, or one that moves as GIF, and return the file that shows it on a page.

    No display is needed.
    """
    with matplotlib.rc_context(RC):
        if isinstance(picture, Motion):
            # the last frame stays for two seconds before it all begins anew
            frames = [*range(picture.frames), *[picture.frames - 1] * 20]
            moving = FuncAnimation(picture.figure, picture.draw, frames=frames)
            moving.save(folder / f"{name}.gif", writer=PillowWriter(fps=10), dpi=100)
            return f"{name}.gif"
        for suffix in ("pdf", "png"):
            picture.savefig(folder / f"{name}.{suffix}", dpi=160)
        return f"{name}.png"
