"""The main job: run every experiment, write figures, tables, numbers, and one page to read."""

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments import figures
from experiments.comparison import Experiment, arrays, compare, discover, rows
from experiments.results import provenance, replacing, write_json
from experiments.running import Result
from experiments.settings import GENERAL
from fpo_jax.hyperparameters import InputError, require_known

COLUMNS = {
    "true_utility_final": "true utility, final",
    "true_utility_peak": "peak",
    "proxy_reward_final": "proxy, final",
    "blind_spot_mass_final": "blind-spot mass, final",
    "collapse_rate": "collapsed",
}
QUICK_SEEDS = 8


def reproduce(out: Path, only: Sequence[str] = (), seeds: int | None = None, quick: bool = False) -> None:
    """Run experiments and write their folder; progress is shown on standard error.

    Args:
        out: folder to write; an earlier result there is replaced when all is done, not before.
        only: names of the experiments to run; by default all but those that take long.
        seeds: number of seeds of each method; the experiment's own by default.
        quick: a few seeds only, to see that all works.

    Raises:
        InputError: unknown experiment, no seeds, unwritable folder.
    """
    known = discover()
    usual = [name for name, experiment in known.items() if not experiment.long]
    chosen = [known[require_known("only", name, known)] for name in (only or usual)]
    if seeds is not None and seeds < 1:
        raise InputError("seeds", seeds, "an integer >= 1")
    total = sum(len(e.methods) + 1 for e in chosen)
    with replacing(out) as folder, tqdm(total=total, unit="job", file=sys.stderr) as progress:
        tables, sections = {}, []
        for experiment in chosen:
            results: dict[str, Result] = {}
            count = seeds if seeds is not None else QUICK_SEEDS if quick else experiment.seeds
            progress.set_description(f"{experiment.name}: {next(iter(experiment.methods))}")
            labels = [*experiment.methods, "figures"]
            for (label, result), upcoming in zip(compare(experiment, count), labels[1:], strict=True):
                results[label] = result
                for warning in result.warnings():
                    progress.write(f"{experiment.name}, {label}: {warning}", sys.stderr)
                progress.update()
                progress.set_description(f"{experiment.name}: {upcoming}")
            table = rows(results)
            drawn = _write_experiment(folder / experiment.name, experiment, results, table)
            tables[experiment.name] = table
            sections.append(_section(experiment, table, experiment.findings(results), drawn))
            progress.update()
        command = " ".join(
            ["fpo-jax reproduce"]
            + [f"--only {' '.join(only)}"] * bool(only)
            + [f"--seeds {seeds}"] * (seeds is not None)
            + ["--quick"] * quick
        )
        write_json(folder / "summary.json", {"tables": tables} | provenance(command, GENERAL["precision"]))
        (folder / "README.md").write_text("\n\n".join([_heading(command), *sections]) + "\n")
    sys.stderr.write(f"results, figures and a page to read: {out / 'README.md'}\n")


def _write_experiment(
    folder: Path,
    experiment: Experiment,
    results: Mapping[str, Result],
    table: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Write one experiment's table, numbers and figures; return the files that show its figures."""
    folder.mkdir()
    flat = [_flat(row) for row in table]
    names = list(dict.fromkeys(key for row in flat for key in row))
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(flat)
    with (folder / "numbers.npz").open("wb") as numbers:
        np.savez_compressed(numbers, allow_pickle=False, **arrays(results, experiment.every))
    return figures.save_all(experiment.figures(results), folder)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose intervals are two columns, and whose diverged seeds are counted."""
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
            interval = "" if low is None else f" [{low:.3f}, {high:.3f}]"
            cells.append(f"{row[key]:.3f}{interval}")
        lines.append(f"| {' | '.join(cells)} | {row['seeds_reported']} | `{row['command']}` |")
    return "\n".join(lines)


def _heading(command: str) -> str:
    return (
        f"# Results\n\nMade by `{command}`. Cells are means over n seeds with 95 % percentile-bootstrap "
        "intervals; all methods of a table ran on the same seeds, of which those that diverged are left out."
    )


def _section(
    experiment: Experiment, table: Sequence[Mapping[str, Any]], findings: str, drawn: Sequence[str]
) -> str:
    optimum = f"Utility that no policy exceeds, mean over seeds: {table[0]['optimum']:.3f}."
    pictures = [f"![{experiment.name}, {Path(file).stem}]({experiment.name}/{file})" for file in drawn]
    found = [findings] if findings else []
    return "\n\n".join(
        [f"## {experiment.name}", experiment.claim, table_markdown(table), optimum, *found, *pictures]
    )
