"""An experiment that computes numbers for many instances, part by part, and can resume."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.core import parts
from fpo_jax.experiments.core.files import write_table
from fpo_jax.experiments.core.progress import Progress, Tell
from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.report.parts import Section

PRECISION = "float64"
"""Equilibria are found in it, and so is all that they are compared with."""
Numbers = dict[str, np.ndarray]
"""By name; the first axis is that of instances."""
Found = Mapping[str, Numbers]
"""By the label of the part."""
Row = dict[str, Any]


class Piece(Protocol):
    """A unit of computation and storage.

    Attributes:
        label: its name.
        asked: what its numbers depend on, as JSON; together with the number of instances it identifies them.
        instances: default number.
        precision: of the computation.
    """

    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def asked(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def instances(self) -> int: ...  # noqa: D102
    @property
    def precision(self) -> str: ...  # noqa: D102

    def numbers(self, instances: int, tell: Tell, kept: Path) -> Numbers:
        """Return the numbers of this many instances; unfinished work may be in the folder `kept`."""


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

    def numbers(self, instances: int, tell: Tell, kept: Path) -> Numbers:
        """Return what the function computes."""
        with in_precision(self.precision):
            return self.compute(instances, tell)


@dataclasses.dataclass(frozen=True)
class Study:
    """One claim, and the parts that test it.

    Attributes:
        name, claim: as those of any experiment.
        pieces: the parts to compute, in order.
        figures: makes the figures, by file name, from the numbers and the table.
        rows: makes the table for the CSV file.
        findings: writes conclusions from both, in Markdown.
        folder: of the parts, which is read first; a missing part is computed and written there. None keeps
            them in the folder of the results.
        small: parts of its small form, if it has one.
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
        """Return a small form of it, to see that all works."""
        return dataclasses.replace(self, pieces=self.small, small=()) if self.small else None

    @property
    def seeds(self) -> int:
        """Return the largest number of instances of a part."""
        return max(part.instances for part in self.pieces)

    @property
    def jobs(self) -> list[str]:
        """Return what there is to do, in order."""
        return [*(part.label for part in self.pieces), "figures"]

    def kept_in(self, folder: Path) -> "Study":
        """Return the study that keeps its parts below this folder."""
        return dataclasses.replace(self, folder=folder / self.name.replace("-", "_"))

    def write(self, folder: Path, seeds: int, progress: Progress) -> tuple[list[Row], Section]:
        """Compute what is missing, write table and figures, and return the table and a section of a page."""
        kept = folder if self.folder is None else self.folder
        kept.mkdir(parents=True, exist_ok=True)
        found: dict[str, Numbers] = {}
        for part in self.pieces:
            progress.begin(f"{self.name}: {part.label}")
            found[part.label] = self._numbers(kept, part, min(seeds, part.instances), progress.tell)
            progress.end()
        progress.begin(f"{self.name}: figures")
        table = self.rows(found)
        written = [_defined(row) for row in table]
        write_table(folder / "table.csv", written)
        drawn = plotting.save_all(self.figures(found, table), folder)
        progress.end()
        return written, Section(self.name, self.claim, [self.findings(found, table)], drawn)

    def _numbers(self, kept: Path, part: Piece, instances: int, tell: Tell) -> Numbers:
        path, asked = parts.file_of(kept, part.label), {**part.asked, "instances": instances}
        found = parts.read_part(path, asked)
        if found is None:
            found = part.numbers(instances, tell, kept)
            parts.write_part(path, found, asked, f"fpo-jax reproduce --only {self.name}", part.precision)
        return found


def _defined(row: Row) -> Row:
    """Return the row, in which what is undefined is empty."""
    return {
        name: "" if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
