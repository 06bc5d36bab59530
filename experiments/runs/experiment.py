"""An experiment: a claim, methods to compare on the same seeds, and figures of the outcome."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.core.files import write_table
from fpo_jax.experiments.core.progress import Progress
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.core.wording import with_interval
from fpo_jax.experiments.report.parts import Section
from fpo_jax.experiments.runs.execution import execute, summary
from fpo_jax.experiments.runs.page import view_of
from fpo_jax.experiments.runs.result import Result

COLUMNS = {
    "true_utility_final": "true utility, final",
    "true_utility_peak": "peak",
    "proxy_reward_final": "proxy, final",
    "blind_spot_mass_final": "blind-spot mass, final",
    "collapse_rate": "collapsed",
}
"""Columns of the table on a page."""


class Experiment(NamedTuple):
    """One claim and its test.

    Attributes:
        name: its name, for its folder and for `--only`.
        claim: the statement that it tests, in a few sentences.
        methods: settings by label of the method. All methods run on the same seeds.
        figures: makes the figures, by file name, from the results by label.
        seeds: default number of seeds.
        of_run: makes additional figures for a single run of the environment of this name.
        findings: writes conclusions beyond the table, in Markdown.
        long: takes minutes, so it runs only when it is named.
        every: interval between the iterations that the file of numbers keeps.
    """

    name: str
    claim: str
    methods: Mapping[str, Mapping[str, Any]]
    figures: Callable[[Mapping[str, Result]], Mapping[str, plotting.Picture]]
    seeds: int = 64
    of_run: Callable[[Mapping[str, Result]], Mapping[str, plotting.Picture]] = lambda results: {}
    findings: Callable[[Mapping[str, Result]], str] = lambda results: ""
    long: bool = False
    every: int = 1

    @property
    def jobs(self) -> list[str]:
        """Return the names of its steps, in order."""
        return [*self.methods, "figures"]

    def write(self, folder: Path, seeds: int, progress: Progress) -> tuple[list[dict[str, Any]], Section]:
        """Run all methods, write numbers, table and figures, and return the table and a section of a page.

        Args:
            folder: of the results.
            seeds: number of seeds.
            progress: receives progress, and warnings.
        """
        results: dict[str, Result] = {}
        for label, result in compare(self, seeds, progress):
            results[label] = result
            for warning in result.warnings():
                progress.write(f"{self.name}, {label}: {warning}")
        progress.begin(f"{self.name}: figures")
        table = rows(results)
        write_csv(folder / "table.csv", table)
        with (folder / "numbers.npz").open("wb") as numbers:
            np.savez_compressed(numbers, allow_pickle=False, **arrays(results, self.every))
        drawn = plotting.save_all(self.figures(results), folder)
        progress.end()
        optimum = f"No policy exceeds a true utility of {table[0]['optimum']:.3f}, mean over seeds."
        return table, Section(
            self.name,
            self.claim,
            [table_markdown(table), optimum, self.findings(results)],
            drawn,
            view_of(results),
            warnings=[f"{label}: {said}" for label, result in results.items() for said in result.warnings()],
            settings=[result.settings for result in results.values()],
        )


def compare(experiment: Experiment, seeds: int, progress: Progress) -> Iterator[tuple[str, Result]]:
    """Run every method of an experiment on the same seeds, one after the other, and yield label and result.

    The steering term is recorded only if a method requests it, because it takes longer than most runs.
    """
    for label, wishes in experiment.methods.items():
        progress.begin(f"{experiment.name}: {label}")
        settings = resolve({"record": "outcome", **wishes, "seeds": seeds})
        result = execute(settings, keep_states=True, tell=progress.tell)
        progress.end()
        yield label, result


def rows(results: Mapping[str, Result]) -> list[dict[str, Any]]:
    """Return the table of an experiment: a row with label, command and summary for each method."""
    return [
        {"method": label, "command": result.settings.command()} | summary(result)
        for label, result in results.items()
    ]


def arrays(results: Mapping[str, Result], every: int = 1) -> dict[str, np.ndarray]:
    """Return the numbers behind the curves, as `label/metric` arrays of shape [seed, entry], and `seed`."""
    return {
        f"{label}/{name}": values
        for label, result in results.items()
        for name, values in {
            **{name: values[:, ::every] for name, values in result.metrics.items()},
            "seed": result.seeds,
        }.items()
    }


def write_csv(path: Path, table: Sequence[Mapping[str, Any]]) -> None:
    """Write an experiment's table as CSV, with two columns for an interval."""
    write_table(path, [_flat(row) for row in table])


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with two columns for each interval, and with the number of diverged seeds."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name.endswith("_ci95"):
            stem = name.removesuffix("_ci95")
            flat[f"{stem}_low"], flat[f"{stem}_high"] = value
        else:
            flat[name] = len(value) if name == "diverged" else value
    return flat


def table_markdown(table: Sequence[Mapping[str, Any]]) -> str:
    """Return an experiment's table as Markdown: mean [95 % interval] of each column, n, command."""
    lines = [
        "| method | " + " | ".join(COLUMNS.values()) + " | n | command |",
        "|---" * (len(COLUMNS) + 3) + "|",
    ]
    for row in table:
        cells = [row["method"]]
        for key in COLUMNS:
            low, high = row[f"{key}_ci95"]
            ends = (float("nan"),) * 2 if low is None else (low, high)
            cells.append(with_interval(row[key], *ends))
        lines.append(f"| {' | '.join(cells)} | {row['seeds_reported']} | `{row['command']}` |")
    return "\n".join(lines)
