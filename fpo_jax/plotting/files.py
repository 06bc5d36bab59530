"""Figures of matplotlib: their settings, their panels, and their files."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

TITLE_SIZE = 10  # points
PANEL = (3.4, 2.7)  # inches of one panel: legible with two side by side on a page
RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # text stays text
}
"""Our settings while a figure is made or written; a user's own settings stay unchanged."""


class Motion(NamedTuple):
    """An animated figure: `draw(frame)` draws one of its frames."""

    figure: Figure
    draw: Callable[[int], None]
    frames: int


Picture = Figure | Motion


def panels(rows: int, columns: int, **options: Any) -> tuple[Figure, np.ndarray]:
    """Return a figure of rows × columns panels of the standard size, and its [rows, columns] axes."""
    with matplotlib.rc_context(RC):
        figure = Figure((PANEL[0] * columns, PANEL[1] * rows), layout="constrained")
        return figure, figure.subplots(rows, columns, squeeze=False, **options)


def save(picture: Picture, folder: Path, name: str) -> str:
    """Write a figure as PDF and PNG, or an animated one as GIF, and return the file to show on a page.

    It needs no display.
    """
    with matplotlib.rc_context(RC):
        if isinstance(picture, Motion):
            first, *others = _frames(picture)
            # the last frame stays for two seconds before the animation repeats
            durations = [100] * len(others) + [2000]
            place = folder / f"{name}.gif"
            first.save(place, save_all=True, append_images=others, duration=durations, loop=0)
            return f"{name}.gif"
        for suffix in ("pdf", "png"):
            picture.savefig(folder / f"{name}.{suffix}", dpi=160)
        return f"{name}.png"


def save_all(pictures: Mapping[str, Picture], folder: Path) -> list[Path]:
    """Write pictures into a folder, and return the files to show on a page."""
    return [folder / save(picture, folder, name) for name, picture in pictures.items()]


def _frames(motion: Motion) -> Iterator[Image.Image]:
    """Draw the frames of an animated picture, all in the layout of the first."""
    figure = motion.figure
    figure.set_dpi(100)
    canvas = FigureCanvasAgg(figure)
    for frame in range(motion.frames):
        motion.draw(frame)
        canvas.draw()
        figure.set_layout_engine("none")  # only one layout, since layout takes as long as drawing
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
