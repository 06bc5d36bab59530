"""What a page is made of: sections of prose, tables and figures, each with charts and panels to look at."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fpo_jax.experiments.core.settings import General, Names, Settings, hyperparameters
from fpo_jax.plotting import Chart, Style

Drawn = dict[str, Any]
"""What `page.js` reads: a chart, or a panel of a player."""
DIGITS = 4
"""Significant digits of what is drawn; the numbers themselves stand in the files beside the page."""
MOST_VALUES = 8
"""A setting that has more values in a section is shown as their range."""
ENV = "the file that holds the environment"
Player = tuple[Drawn | None, str]
"""What `page.js` plays, or None; and what that shows, or why there is nothing to play."""
MOST_PANELS = 12
"""Methods that are played."""
SAY_CURVES = "Line: mean over {n}. Band: the middle 80 % of seeds."


class View(NamedTuple):
    """What is to be looked at in a section.

    Attributes:
        methods: how each is drawn; the legend, in order.
        charts: one after the other.
        caption: what the charts' lines and bands are.
        player: panels and iterations, or None.
        playing: what the player shows, or why there is none.
    """

    methods: Mapping[str, Style] = {}
    charts: Sequence[Chart] = ()
    caption: str = ""
    player: Drawn | None = None
    playing: str = ""


class Section(NamedTuple):
    """A part of a page.

    Attributes:
        name: its heading, and the folder of its files.
        claim: what it is about, in Markdown.
        paragraphs: what was found, in Markdown; empty ones are left out.
        pictures: its figures, as written.
        view: what is to be looked at.
        tiles: key figures, (what, value, remark) each.
        warnings: what must not go unsaid.
        settings: of all its runs.
    """

    name: str
    claim: str
    paragraphs: Sequence[str] = ()
    pictures: Sequence[Path] = ()
    view: View = View()
    tiles: Sequence[tuple[str, str, str]] = ()
    warnings: Sequence[str] = ()
    settings: Sequence[Settings] = ()

    def markdown(self) -> str:
        """Return the section in Markdown, with its figures by file."""
        shown = [f"![{self.name}, {path.stem}]({self.name}/{path.name})" for path in self.pictures]
        return "\n\n".join([f"## {self.name}", self.claim, *filter(None, self.paragraphs), *shown])

    def setting_rows(self) -> list[tuple[str, str, str]]:
        """Return the name, the values and the meaning of every setting of the section's runs."""
        values: dict[str, list[str]] = {}
        known = Names.known() | General.known()
        first = [*known]
        for settings in self.settings:
            known |= {name: field for name, (field, _) in hyperparameters(settings.names).items()}
            for name, value in settings.as_dict().items():
                shown = f"{value:g}" if isinstance(value, float) else str(value) or "–"
                if shown not in values.setdefault(name, []):
                    values[name].append(shown)
        ordered = sorted(values, key=lambda name: first.index(name) if name in first else len(first))
        meaning = {"env": ENV} | {name: field.metadata["help"] for name, field in known.items()}
        return [(name, _joined(values[name]), meaning[name]) for name in ordered]


def _joined(values: Sequence[str]) -> str:
    if len(values) > MOST_VALUES:
        return f"{values[0]} … {values[-1]} ({len(values)} values)"
    return ", ".join(values)


def numbers(values: Any) -> Any:
    """Return an array as nested lists of numbers with few digits; what is undefined is None."""
    array = np.asarray(values, dtype=float)
    if array.ndim == 0:
        return float(f"{array:.{DIGITS}g}") if np.isfinite(array) else None
    return [numbers(row) for row in array]


def share(value: float) -> str:
    """Return a share in per cent."""
    return f"{100 * value:.0f}\N{NO-BREAK SPACE}%"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, in which every cell is shown as it is."""
    lines = [[*map(plain, head)], ["---"] * len(head), *([*map(plain, row)] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def plain(text: str) -> str:
    """Return Markdown that shows a text as it is, on one line: no link, no picture, no code."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """Return Markdown that shows a text as code, on one line, whatever backticks it has."""
    line = " ".join(text.split())
    longest = max(map(len, re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    apart = " " if longest or not line else ""
    return f"{fence}{apart}{line}{apart}{fence}"
