"""An experiment that compares methods at places, trial by trial, and goes on where it stopped."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from fpo_jax import plotting
from fpo_jax.experiments.comparison import store
from fpo_jax.experiments.comparison.methods import Method, Place
from fpo_jax.experiments.comparison.table import markdown, rows
from fpo_jax.experiments.comparison.trial import Trial, Trials, compared
from fpo_jax.experiments.core.files import write_table
from fpo_jax.experiments.core.progress import Progress
from fpo_jax.experiments.report.parts import Section


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One claim, and the methods and places that put it to the test.

    Attributes:
        name, claim: as those of any experiment.
        places, methods: what is compared, each with each.
        figures: makes the figures, by file name.
        findings: says in Markdown what follows.
        settings: that go before all others.
        parts: folder of the trials, which is read first; a trial that is missing is computed and written
            there. None keeps them in the folder of the results.
        quick: a small form of it, to see that all works.
    """

    name: str
    claim: str
    places: tuple[Place, ...]
    methods: tuple[Method, ...]
    figures: Callable[[Trials], Mapping[str, plotting.Picture]]
    findings: Callable[[Trials], str]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    parts: Path | None = None
    quick: "Comparison | None" = None
    long: bool = True

    @property
    def seeds(self) -> int:
        """Return the largest number of seeds that judge."""
        return max(place.seeds for place in self.places)

    @property
    def jobs(self) -> list[str]:
        """Return what there is to do, in order."""
        return [f"{p.label}: {m.label}" for p in self.places for m in self.methods] + ["figures"]

    def with_small_form(self, **changes: Any) -> Self:
        """Return the comparison with a small form that differs by these attributes."""
        return dataclasses.replace(self, quick=dataclasses.replace(self, **changes))

    def kept_in(self, parts: Path) -> "Comparison":
        """Return the comparison that keeps its trials in this folder."""
        return dataclasses.replace(self, parts=parts / self.name)

    def write(self, folder: Path, seeds: int, progress: Progress) -> tuple[list[dict[str, Any]], Section]:
        """Compute what is missing, write table and figures, and return the table and a section of a page."""
        parts = folder if self.parts is None else self.parts
        trials: dict[str, dict[str, Trial]] = {}
        for place in self.places:
            fewer = place._replace(seeds=min(place.seeds, seeds), tuning=min(place.tuning, seeds))
            for method in self.methods:
                progress.begin(f"{self.name}: {place.label}, {method.label}")
                trials.setdefault(place.label, {})[method.label] = self._trial(parts, fewer, method, progress)
                progress.end()
        progress.begin(f"{self.name}: figures")
        table = [row for place in self.places for row in rows(place, self.methods, trials[place.label])]
        write_table(folder / "table.csv", table)
        drawn = plotting.save_all(self.figures(trials), folder)
        progress.end()
        tables = [markdown(place, self.methods, trials[place.label]) for place in self.places]
        return table, Section(self.name, self.claim, [self.findings(trials), *tables], drawn)

    def _trial(self, parts: Path, place: Place, method: Method, progress: Progress) -> Trial:
        path, asked = store.file_of(parts, place, method), store.asked_of(place, method, **self.settings)
        found = store.read(path, asked)
        if found is None:
            found = compared(place, method, progress.tell, **self.settings)
            parts.mkdir(parents=True, exist_ok=True)
            store.write(path, found, asked, f"fpo-jax reproduce --only {self.name}")
        return found
