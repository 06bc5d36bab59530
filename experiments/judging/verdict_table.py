"""Verdicts made elsewhere: a CSV file with one row for each prompt and one column for each comparison."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fpo_jax.errors import InputError, shortened
from fpo_jax.experiments.core.csv_files import read_table
from fpo_jax.experiments.judging.counts import Counts, assess

TIE = "tie"
"""The verdict that neither is better, in upper or lower case."""
NONE = ("", "error")
"""The entry for a pair that could not be judged."""


class Compared(NamedTuple):
    """A comparison in a table: the column of its verdicts, and its words for A or B being better."""

    column: str
    a: str
    b: str

    @classmethod
    def of(cls, written: str) -> "Compared":
        """Read COLUMN:A:B.

        Raises:
            InputError: when it is something else.
        """
        column, *sides = written.rsplit(":", 2)
        if len(sides) != 2 or not column or not all(sides) or sides[0] == sides[1]:
            raise InputError("compare", written, "COLUMN:A:B, such as Verdict:Relaxed:RLHF")
        return cls(column, *sides)

    def outcome(self, row: dict[str, str], where: str) -> str:
        """Return the field of `Counts` for a row.

        Raises:
            InputError: names the row without a valid verdict.
        """
        said = row[self.column].strip()
        known = {self.a: "wins", self.b: "losses"}
        if said in known:
            return known[said]
        if said.casefold() == TIE:
            return "ties"
        if said.casefold() in NONE:
            return "errors"
        allowed = f"{self.a}, {self.b}, tie, or error in column {self.column}"
        raise InputError("verdicts", f"{where}: {shortened(said)}", allowed)


def of_table(
    path: Path, compare: Sequence[str], by: str | None = None, answers: str | None = None
) -> dict[str, Any]:
    """Count and test the verdicts of a table, all together and by category.

    Args:
        path: the CSV file.
        compare: comparisons, COLUMN:A:B each.
        by: column of categories, which are also tested separately.
        answers: prefix of the columns with the answers of A and B; identical answers are counted.

    Raises:
        InputError: as `read_table` and `Compared`.
    """
    pairs = [Compared.of(written) for written in compare]
    texts = [f"{answers}{side}" for one in pairs for side in (one.a, one.b)] if answers is not None else []
    columns = [*(one.column for one in pairs), *([] if by is None else [by]), *texts]
    rows = read_table(path, columns, "verdicts")
    report: dict[str, Any] = {"pairs": len(rows), "comparisons": []}
    for one in pairs:
        for name, part in _parts(rows, by):
            counted = dict.fromkeys(Counts._fields, 0)
            for number, row in part:
                counted[one.outcome(row, f"{path}, row {number}")] += 1
            assessed = assess(f"{one.a} : {one.b}{name}", Counts(**counted))
            if answers is not None:
                a, b = f"{answers}{one.a}", f"{answers}{one.b}"
                assessed["identical"] = sum(row[a] == row[b] for _, row in part)
            report["comparisons"].append(assessed)
    return report | {"verdicts_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _parts(
    rows: Sequence[dict[str, str]], by: str | None
) -> Iterator[tuple[str, list[tuple[int, dict[str, str]]]]]:
    """Yield all rows with their numbers from 1, and those of each category, largest first."""
    numbered = list(enumerate(rows, 1))
    yield "", numbered
    if by is None:
        return
    categories: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for number, row in numbered:
        categories.setdefault(row[by], []).append((number, row))
    for name, part in sorted(categories.items(), key=lambda item: -len(item[1])):
        yield f", {name}", part
