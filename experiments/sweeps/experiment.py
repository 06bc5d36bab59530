"""An experiment made of sweeps: a claim, grids to run, and figures of their results."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from fpo_jax import plotting
from fpo_jax.experiments.core.progress import Progress
from fpo_jax.experiments.report.parts import Section
from fpo_jax.experiments.sweeps.dataset import diverged, per_seed, warnings
from fpo_jax.experiments.sweeps.execution import run_grid
from fpo_jax.experiments.sweeps.files import save
from fpo_jax.experiments.sweeps.grid import make_grid


class SweepExperiment(NamedTuple):
    """One claim and the grids that put it to the test.

    Attributes:
        name: its folder and the word after `--only`.
        claim: the statement that it tests.
        grids: settings for `make_grid`, by the name of the grid.
        figures: makes the figures, by file name, from the numbers of `per_seed` for each grid.
        findings: writes conclusions from the same numbers, in Markdown.
        seeds: default number of seeds.
        long: takes minutes, so that it is run only when it is named.
    """

    name: str
    claim: str
    grids: Mapping[str, Mapping[str, Any]]
    figures: Callable[[Mapping[str, xr.Dataset]], Mapping[str, plotting.Picture]]
    findings: Callable[[Mapping[str, xr.Dataset]], str]
    seeds: int = 32
    long: bool = True

    @property
    def jobs(self) -> list[str]:
        """Return what there is to do, in order."""
        return [*self.grids, "figures"]

    def write(self, folder: Path, seeds: int, progress: Progress) -> tuple[list[dict[str, Any]], Section]:
        """Run all grids, write numbers and figures, and return a row for each and a section of a page."""
        runs: dict[str, xr.Dataset] = {}
        rows, settings, said = [], [], list[str]()
        for label, wishes in self.grids.items():
            progress.begin(f"{self.name}: {label}")
            grid = make_grid({**wishes, "seeds": seeds})
            result = run_grid(grid, tell=progress.tell)
            save(result, folder / f"{label}.npz")
            runs[label] = per_seed(result)
            row = {"grid": label, "command": grid.command(), "runs": len(grid.cells) * seeds}
            rows.append(row | {"diverged": diverged(result)})
            said += [f"{label}: {warning}" for warning in warnings(result)]
            settings += grid.cells
            progress.end()
        progress.begin(f"{self.name}: figures")
        drawn = plotting.save_all(self.figures(runs), folder)
        progress.end()
        lines = ["| grid | runs | diverged | command |", "|---|---|---|---|"]
        lines += ["| {grid} | {runs} | {diverged} | `{command}` |".format(**row) for row in rows]
        found = ["\n".join(lines), self.findings(runs)]
        return rows, Section(self.name, self.claim, found, drawn, warnings=said, settings=settings)
