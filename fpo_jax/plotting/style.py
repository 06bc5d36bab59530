"""Colours, dash patterns, panels, and figures on disk.

Colours follow the paper's convention, RLHF red and FPO blue, in shades that colour-blind readers tell
apart; every method also has its own dash pattern, so that figures survive a black-and-white printer.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from PIL import Image

IDEAL = "#000000"
TITLE_SIZE = 10  # points
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
NEUTRAL = Style("#525252", (0, (1, 1)))
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


def ladder_styles(labels: Sequence[str]) -> dict[str, Style]:
    """Return one style for each of up to twenty routes: colours of one family, dashes that differ."""
    colours = matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]
    dashes = ("-", (0, (4, 1.5)))
    return {
        label: Style(matplotlib.colors.to_hex(colours[i % 10]), dashes[i // 10 % 2])
        for i, label in enumerate(labels)
    }


def logarithmic(ax: Axes) -> None:
    """Make the vertical axis logarithmic, with plain numbers at 1, 2 and 5."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())


def ideal(ax: Axes, level: float, label: str) -> None:
    """Draw the ideal as a dashed black line."""
    ax.axhline(level, color=IDEAL, linestyle="--", linewidth=1, label=label)


def save(picture: Picture, folder: Path, name: str) -> str:
    """Write a figure as PDF and PNG, or one that moves as GIF, and return the file that shows it on a page.

    No display is needed.
    """
    with matplotlib.rc_context(RC):
        if isinstance(picture, Motion):
            first, *others = _frames(picture)
            # the last frame stays for two seconds before it all begins anew
            durations = [100] * len(others) + [2000]
            place = folder / f"{name}.gif"
            first.save(place, save_all=True, append_images=others, duration=durations, loop=0)
            return f"{name}.gif"
        for suffix in ("pdf", "png"):
            picture.savefig(folder / f"{name}.{suffix}", dpi=160)
        return f"{name}.png"


def _frames(motion: Motion) -> Iterator[Image.Image]:
    """Draw the frames of a picture that moves, all in the layout of the first."""
    figure = motion.figure
    figure.set_dpi(100)
    canvas = FigureCanvasAgg(figure)
    for frame in range(motion.frames):
        motion.draw(frame)
        canvas.draw()
        figure.set_layout_engine("none")  # laid out once: it takes as long as drawing
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
