"""Numbers and counts as people read them."""

import math
import os
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NONE = "–"
"""What stands where there is nothing."""

EXTRA = "the extra llm: in a clone, pip install '.[llm]'"
"""What language models and endpoints need."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one: "1 seed", "2 seeds"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def as_text(path: Path | str) -> str:
    """Return the name of a file as text, whatever the locale; what in it is no UTF-8 is replaced."""
    return os.fsencode(path).decode(errors="replace")


def how_computed(precision: str, record: str) -> str:
    """Say in which precision something is computed, and what is written down of it."""
    written = {
        "full": "with the exact steering term",
        "outcome": "without the steering term",
        "monitors": "with all monitors",
    }[record]
    return f"{precision}, {written} ({record})"


def fixed(value: float, digits: int) -> str:
    """Return a number with so many decimals, and no sign where all of them are 0."""
    return format(value, f"z.{digits}f")


def columns() -> int:
    """Return how many characters a line of the terminal has; more than any has, where there is none."""
    return shutil.get_terminal_size(fallback=(10**6, 24)).columns


def folded(line: str, indent: int) -> str:
    """Return a line as several where the terminal is too narrow for it, all but the first indented."""
    room = max(columns(), indent + 20)
    return textwrap.fill(
        line, room, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as text, its first column to the left; in a narrow terminal, a block of lines a row."""
    from fpo_jax.errors import visible  # which imports JAX

    rows = [[*map(visible, row)] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        padded = [x.rjust(width) for x, width in zip(row, widths, strict=True)]
        return "  ".join([row[0].ljust(widths[0]), *padded[1:]])

    if len(line(head)) <= columns():
        return "\n".join(map(line, [head, *rows]))
    room = max(map(len, head))
    blocks = [[f"{name:{room}s}  {x}" for name, x in zip(head, row, strict=True)] for row in rows]
    return "\n\n".join("\n".join(block) for block in blocks)


def with_interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """Return "value [low, high]", without an interval where it has no ends."""
    shown = fixed(value, digits)
    known = math.isfinite(low) and math.isfinite(high)
    return f"{shown} [{fixed(low, digits)}, {fixed(high, digits)}]" if known else shown


def _written(value: Any, digits: int) -> str:
    if isinstance(value, float) and not (value.is_integer() and abs(value) < 1e6):
        return format(value, f".{digits}g")
    return str(int(value)) if isinstance(value, float) else str(value)


def distinct(values: Sequence[Any], digits: int = 3) -> list[str]:
    """Return values as text, numbers with so many digits, or as many more as tell different ones apart.

    None and NaN, which stand for a hyperparameter that a method does not have, are `NONE`.
    """
    absent = [value is None or (isinstance(value, float) and math.isnan(value)) for value in values]
    kept = [value for value, gone in zip(values, absent, strict=True) if not gone]
    for more in range(digits, 18):
        shown = [_written(value, more) for value in kept]
        if len(set(shown)) == len(set(kept)):
            break
    rest = iter(shown)
    return [NONE if gone else next(rest) for gone in absent]
