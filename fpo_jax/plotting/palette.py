"""The one table of styles: a colour and dashes for each method, on paper and on a page.

Colours follow the paper's convention, RLHF red and FPO blue, in shades that colour-blind readers tell
apart; lines of similar colours also differ in their dashes.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Style(NamedTuple):
    """How one method is drawn.

    Attributes:
        color: #RRGGBB.
        dashes: lengths of strokes and gaps, in widths of the line; none for a solid line.
    """

    color: str
    dashes: tuple[float, ...] = ()

    @property
    def linestyle(self) -> str | tuple[int, tuple[float, ...]]:
        """Return the dashes as matplotlib takes them."""
        return (0, self.dashes) if self.dashes else "-"

    @property
    def solid(self) -> "Style":
        """Return the style without dashes, whose points are filled."""
        return Style(self.color)


DOTS, DASHES = (1.0, 1.65), (3.7, 1.6)
IDEAL = Style("#000000", DASHES)
RLHF = Style("#C8321E")
_FPO_STYLES = {
    "exact": [Style("#08306B"), Style("#08306B", (1, 1))],
    "relaxed": [Style("#2171B5", (6, 2)), Style("#2171B5", (3, 1, 1, 1))],
    "proximal": [Style("#1B7F5C"), Style("#1B7F5C", (4, 1.5))],
    "practical": [Style("#5FA8E0", (2, 1.2)), Style("#5FA8E0", (5, 1, 1, 1, 1, 1))],
    "leverage": [Style("#756BB1", (7, 1.5, 1.5, 1.5)), Style("#756BB1", (1.5, 1.5))],
}
EXACT = _FPO_STYLES["exact"][0]
NEUTRAL = Style("#525252", (1, 1))
ORDINARY, MARKED = "#2171B5", "#E08214"
"""Colours of responses outside and inside the blind spot."""
_SPARE = [Style("#41AB9B", (4, 1.5)), Style("#A6611A", (8, 2)), Style("#525252", (3, 3))]
_TEN_COLOURS = (
    *("#1F77B4", "#FF7F0E", "#2CA02C", "#D62728", "#9467BD"),
    *("#8C564B", "#E377C2", "#7F7F7F", "#BCBD22", "#17BECF"),
)
_VARIANT_DASHES = ((), (6, 2), (1, 1.2), (3, 1, 1, 1), (10, 2), (2, 2), (6, 1, 1, 1, 1, 1), (4, 4))
PALEST = 0.6
"""Share of white in the palest variant of a style."""


def styles(objectives: Mapping[str, str]) -> dict[str, Style]:
    """Assign a style to each method: RLHF red, FPO blue, and new dashes for further variants of an objective.

    Args:
        objectives: name of the objective, keyed by the method's label.
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


def ladder_styles(labels: Sequence[str]) -> dict[str, Style]:
    """Return one style for each of up to twenty routes: colours of one family, dashes that differ."""
    dashes: tuple[tuple[float, ...], ...] = ((), (4, 1.5))
    return {label: Style(_TEN_COLOURS[i % 10], dashes[i // 10 % 2]) for i, label in enumerate(labels)}


def variants(style: Style, number: int) -> list[Style]:
    """Return up to eight variants of a style, itself first, increasingly pale, each with its own dashes."""
    others = [dashes for dashes in _VARIANT_DASHES if dashes != style.dashes]
    whites = [PALEST * i / max(number - 1, 1) for i in range(number)]
    patterns = [style.dashes, *others, *others]
    return [Style(_paler(style.color, w), dashes) for w, dashes in zip(whites, patterns, strict=False)]


def _paler(color: str, white: float) -> str:
    channels = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(c + white * (255 - c)):02X}" for c in channels)
