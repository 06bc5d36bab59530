"""An experiment that computes numbers for many instances, part by part, and can resume."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fpo_jax import plotting
from fpo_jax.experiments.core import parts
from fpo_jax.experiments.core.files import write_table
from fpo_jax.experiments.core.progress import Progress, Tell
from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.report.parts import Section

PRECISION = "float64"
"""Precision of equilibria and of everything compared with them."""
Numbers = parts.Arrays
"""Arrays by name; in most of them the first axis is that of instances."""
Found = Mapping[str, Numbers]
"""The numbers of each part, by its label."""
Row = dict[str, Any]


class Piece(Protocol):
    """A unit of computation and storage.

    Attributes:
        label: its name.
        asked: everything that its numbers depend on, except the number of instances, as JSON.
        instances: default number of instances.
        precision: precision of the computation.
        timed: whether all its work is done in one call of `numbers`.
    """

    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def asked(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def instances(self) -> int: ...  # noqa: D102
    @property
    def precision(self) -> str: ...  # noqa: D102
    @property
    def timed(self) -> bool: ...  # noqa: D102

    def numbers(self, instances: int, tell: Tell, kept: Path) -> Numbers:
        """Compute the numbers of this many instances. Unfinished work may be saved in the folder `kept`."""


class Part(NamedTuple):
    """A piece that a function computes.

    Attributes:
        label, asked, instances, precision: as for any piece.
        compute: returns the numbers of this many instances, and reports progress.
    """

    label: str
    asked: Mapping[str, Any]
    compute: Callable[[int, Tell], Numbers]
    instances: int = 1
    precision: str = PRECISION

    @property
    def timed(self) -> bool:
        """Return True: an interrupted part begins anew."""
        return True

    def numbers(self, instances: int, tell: Tell, kept: Path) -> Numbers:
        """Call the function in the precision of the part, and return its numbers."""
        with in_precision(self.precision):
            return self.compute(instances, tell)


@dataclasses.dataclass(frozen=True)
class Study:
    """One claim, and the parts that test it.

    Attributes:
        name, claim: as for any experiment.
        pieces: the parts to compute, in order.
        figures: makes the figures, by file name, from the numbers and the table.
        rows: makes the table for the CSV file from the numbers.
        findings: writes conclusions from both, in Markdown.
        folder: of the parts, which is read first; a missing part is computed and written there. None keeps
            them in the folder of the results.
        small: parts of its small form, or empty.
        long: takes minutes or more, so it runs only when it is named.
    """

    name: str
    claim: str
    pieces: tuple[Piece, ...]
    figures: Callable[[Found, list[Row]], Mapping[str, plotting.Picture]]
    rows: Callable[[Found], list[Row]]
    findings: Callable[[Found, list[Row]], str]
    folder: Path | None = None
    small: tuple[Piece, ...] = ()
    long: bool = True

    @property
    def quick(self) -> "Study | None":
        """Return a small form of it, to check that everything works, or None."""
        return dataclasses.replace(self, pieces=self.small, small=()) if self.small else None

    @property
    def seeds(self) -> int:
        """Return the default number of instances of the largest part."""
        return max(part.instances for part in self.pieces)

    @property
    def jobs(self) -> list[str]:
        """Return the names of its steps, in order."""
        return [*(part.label for part in self.pieces), "figures"]

    def kept_in(self, folder: Path) -> "Study":
        """Return the study that keeps its parts below this folder."""
        return dataclasses.replace(self, folder=folder / self.name.replace("-", "_"))

    def write(self, folder: Path, seeds: int, progress: Progress) -> tuple[list[Row], Section]:
        """Compute the missing parts, write table and figures, and return the table and a section of a page.

        Args:
            folder: of the results.
            seeds: most instances of a part.
            progress: receives progress.
        """
        kept = folder if self.folder is None else self.folder
        found: dict[str, Numbers] = {}
        seconds: list[float] = []
        for part in self.pieces:
            progress.begin(f"{self.name}: {part.label}")
            one = self._part(kept, part, min(seeds, part.instances), progress.tell)
            found[part.label] = one.arrays
            seconds.append(one.seconds)
            progress.end()
        progress.begin(f"{self.name}: figures")
        table = self.rows(found)
        written = [_defined(row) for row in table]
        write_table(folder / "table.csv", written)
        drawn = plotting.save_all(self.figures(found, table), folder)
        progress.end()
        told = [self.findings(found, table), parts.time_taken(seconds)]
        return written, Section(self.name, self.claim, told, drawn)

    def _part(self, kept: Path, part: Piece, instances: int, tell: Tell) -> parts.Kept:
        return parts.part(
            parts.file_of(kept, part.label),
            {**part.asked, "instances": instances},
            lambda: part.numbers(instances, tell, kept),
            f"fpo-jax reproduce --only {self.name}",
            part.precision,
            timed=part.timed,
        )


def _defined(row: Row) -> Row:
    """Return the row with "" in place of numbers that are not finite."""
    return {
        name: "" if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
