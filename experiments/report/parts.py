"""The parts of a page: sections with text, tables and figures, and with charts and panels to look at."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fpo_jax.experiments.core.settings import General, Names, Settings, hyperparameters
from fpo_jax.plotting import Chart, Style

Drawn = dict[str, Any]
"""Data for `page.js`: a chart, or a panel of a player."""
DIGITS = 4
"""Significant digits of drawn numbers. The files beside the page have all digits."""
MOST_VALUES = 8
"""If a setting has more values in a section, the page shows only the first and the last."""
ENV = "the file that holds the environment"
Player = tuple[Drawn | None, str]
"""The data that `page.js` plays, or None; then what it shows, or why there is nothing to play."""
MOST_PANELS = 12
"""Most methods that a player shows."""
SAY_CURVES = "Line: mean over {n}. Band: the middle 80 % of seeds."


class View(NamedTuple):
    """The charts and the player of a section.

    Attributes:
        methods: style of each method, in the order of the legend.
        charts: in order.
        caption: explains lines and bands of the charts.
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
        claim: its first paragraph, in Markdown.
        paragraphs: results, in Markdown; empty ones are skipped.
        pictures: files of its figures.
        view: its charts and its player.
        tiles: key figures, each as (name, value, remark).
        warnings: lines that the page shows prominently.
        settings: settings of all its runs.
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
        """Return the section in Markdown, with links to the files of its figures."""
        shown = [f"![{self.name}, {path.stem}]({self.name}/{path.name})" for path in self.pictures]
        return "\n\n".join([f"## {self.name}", self.claim, *filter(None, self.paragraphs), *shown])

    def setting_rows(self) -> list[tuple[str, str, str]]:
        """Return (name, values, meaning) of every setting of the section's runs."""
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
    """Return an array as nested lists of numbers with `DIGITS` digits; None where one is not finite."""
    array = np.asarray(values, dtype=float)
    if array.ndim == 0:
        return float(f"{array:.{DIGITS}g}") if np.isfinite(array) else None
    return [numbers(row) for row in array]


def share(value: float) -> str:
    """Return a share as text, in per cent."""
    return f"{100 * value:.0f}\N{NO-BREAK SPACE}%"


ACTIVE = r"[\\`*_<>|~&$@#]|\](?=[\[(:])|:(?!\s|\d|$)|(?<=www)\.|^[-+](?=\s|$)|^[-=](?=[-=\s]*$)"
"""What Markdown reads as more than a character: emphasis, code, HTML, tables, links, emoji, lists."""


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown that shows the text of every cell literally."""
    lines = [[*map(plain, head)], ["---"] * len(head), *([*map(plain, row)] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def plain(text: str) -> str:
    """Return Markdown that shows a text literally, on one line, without links, pictures or code."""
    line = re.sub(ACTIVE, r"\\\g<0>", " ".join(text.split()))
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", line)  # the number of a list


def code(text: str) -> str:
    """Return Markdown that shows a text as code, on one line. The text may have backticks."""
    line = " ".join(text.split())
    longest = max(map(len, re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    apart = " " if longest or not line else ""
    return f"{fence}{apart}{line}{apart}{fence}"
