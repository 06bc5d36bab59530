"""An experiment that compares methods at several places, trial by trial, and can resume."""

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
from fpo_jax.experiments.core.parts import time_taken
from fpo_jax.experiments.core.progress import Progress
from fpo_jax.experiments.report.parts import Section


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One claim, and the methods and places that test it.

    Attributes:
        name, claim: as for any experiment.
        places, methods: every method is tried at every place.
        figures: makes the figures, by file name, from the trials.
        findings: writes conclusions from the trials, in Markdown.
        settings: override all other settings.
        parts: folder of the trials, which is read first; a missing trial is computed and written there. None
            keeps them in the folder of the results.
        quick: a small form of it, to check that everything works; or None.
        long: takes minutes or more, so it runs only when it is named.
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
        """Return the largest number of judging seeds at a place."""
        return max(place.seeds for place in self.places)

    @property
    def jobs(self) -> list[str]:
        """Return the names of its steps, in order."""
        return [f"{p.label}: {m.label}" for p in self.places for m in self.methods] + ["figures"]

    def with_small_form(self, **changes: Any) -> Self:
        """Return the comparison with a small form in which these attributes are changed."""
        return dataclasses.replace(self, quick=dataclasses.replace(self, **changes))

    def kept_in(self, parts: Path) -> "Comparison":
        """Return the comparison that keeps its trials in this folder."""
        return dataclasses.replace(self, parts=parts / self.name)

    def write(self, folder: Path, seeds: int, progress: Progress) -> tuple[list[dict[str, Any]], Section]:
        """Compute the missing trials, write table and figures, and return the table and a section of a page.

        Args:
            folder: of the results.
            seeds: most seeds of a trial, for tuning and for judging.
            progress: receives progress.
        """
        parts = folder if self.parts is None else self.parts
        trials: dict[str, dict[str, Trial]] = {}
        seconds: list[float] = []
        for place in self.places:
            fewer = place._replace(seeds=min(place.seeds, seeds), tuning=min(place.tuning, seeds))
            for method in self.methods:
                progress.begin(f"{self.name}: {place.label}, {method.label}")
                trial, took = self._trial(parts, fewer, method, progress)
                trials.setdefault(place.label, {})[method.label] = trial
                seconds.append(took)
                progress.end()
        progress.begin(f"{self.name}: figures")
        table = [row for place in self.places for row in rows(place, self.methods, trials[place.label])]
        write_table(folder / "table.csv", table)
        drawn = plotting.save_all(self.figures(trials), folder)
        progress.end()
        tables = [markdown(place, self.methods, trials[place.label]) for place in self.places]
        told = [self.findings(trials), *tables, time_taken(seconds)]
        return table, Section(self.name, self.claim, told, drawn)

    def _trial(self, folder: Path, place: Place, method: Method, progress: Progress) -> tuple[Trial, float]:
        """Return a trial and the CPU seconds that it took."""

        def compute() -> Trial:
            return compared(place, method, progress.tell, **self.settings)

        command = f"fpo-jax reproduce --only {self.name}"
        return store.kept_or_computed(folder, place, method, compute, command, **self.settings)
