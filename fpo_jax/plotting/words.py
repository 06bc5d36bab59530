"""Width of text, so that none is cut off at the edge of a figure."""

import math
import textwrap
from collections.abc import Sequence
from functools import cache

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

HANDLE = 2.8
"""Width, in letters, of the line before a name in a legend and the gap between them."""
GAP = 2.0
"""Gap, in letters, between two columns of a legend."""
FEWEST = 12
"""A line of up to this many letters is never wrapped."""


@cache
def width_of(words: str, size: float) -> float:
    """Return the width in points of the widest line of a text of this size."""
    font = FontProperties(size=size)
    return max(text_to_path.get_text_width_height_descent(line, font, False)[0] for line in words.split("\n"))


def fitted(words: str, size: float, room: float) -> str:
    """Return words wrapped into lines no wider than this many points."""
    lines = []
    for line in words.split("\n"):
        letters, folded = len(line), line
        while width_of(folded, size) > room and letters > FEWEST:
            letters -= 1
            folded = textwrap.fill(line, letters, break_long_words=False, break_on_hyphens=False)
        lines.append(folded)
    return "\n".join(lines)


def legend_columns(labels: Sequence[str], size: float, room: float) -> int:
    """Return the number of columns of about equal length in which labels fit into this many points."""
    widths = np.array([width_of(label, size) for label in labels]) + (HANDLE + GAP) * size

    def fit(columns: int) -> bool:
        return sum(float(np.max(part)) for part in np.array_split(widths, columns)) - GAP * size <= room

    most = next((columns for columns in range(len(labels), 1, -1) if fit(columns)), 1)
    even = math.ceil(len(labels) / math.ceil(len(labels) / most))
    return even if fit(even) else most
