"""Readable numbers and counts."""

import math
import os
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NONE = "–"
"""Text for a missing value."""

EXTRA = "the extra llm: in a clone, pip install '.[llm]'"
"""The extra for language models and endpoints, and how to install it."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one: "1 seed", "2 seeds"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def as_text(path: Path | str) -> str:
    """Return the name of a file as text, whatever the locale; bytes that are not UTF-8 are replaced."""
    return os.fsencode(path).decode(errors="replace")


def how_computed(precision: str, record: str) -> str:
    """Say which precision and record are in use."""
    written = {
        "full": "with the exact steering term",
        "outcome": "without the steering term",
        "monitors": "with all monitors",
    }[record]
    return f"{precision}, {written} ({record})"


def fixed(value: float, digits: int) -> str:
    """Return a number with this many decimals, without a sign if all digits are 0."""
    return format(value, f"z.{digits}f")


def columns() -> int:
    """Return the width of the terminal in characters, or a very large number if there is none."""
    return shutil.get_terminal_size(fallback=(10**6, 24)).columns


def folded(line: str, indent: int) -> str:
    """Wrap a line to the width of the terminal, with all lines but the first indented."""
    room = max(columns(), indent + 20)
    return textwrap.fill(
        line, room, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as text, first column left-aligned; in a narrow terminal, a block for each row."""
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
    """Return "value [low, high]", or only the value if the interval has no ends."""
    shown = fixed(value, digits)
    known = math.isfinite(low) and math.isfinite(high)
    return f"{shown} [{fixed(low, digits)}, {fixed(high, digits)}]" if known else shown


def _written(value: Any, digits: int) -> str:
    if isinstance(value, float) and not (value.is_integer() and abs(value) < 1e6):
        return format(value, f".{digits}g")
    return str(int(value)) if isinstance(value, float) else str(value)


def distinct(values: Sequence[Any], digits: int = 3) -> list[str]:
    """Return values as text; numbers have this many digits, or more if needed to distinguish them.

    None and NaN, for a hyperparameter that a method lacks, are `NONE`.
    """
    absent = [value is None or (isinstance(value, float) and math.isnan(value)) for value in values]
    kept = [value for value, gone in zip(values, absent, strict=True) if not gone]
    for more in range(digits, 18):
        shown = [_written(value, more) for value in kept]
        if len(set(shown)) == len(set(kept)):
            break
    rest = iter(shown)
    return [NONE if gone else next(rest) for gone in absent]
