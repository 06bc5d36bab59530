"""The folder of a run: settings, numbers, states, summary, figures and page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fpo_jax.experiments.core.files import write_json
from fpo_jax.experiments.core.result_folder import replacing
from fpo_jax.experiments.report import page
from fpo_jax.experiments.runs import figures, states
from fpo_jax.experiments.runs.page import section_of
from fpo_jax.experiments.runs.result import Result
from fpo_jax.plotting import Picture, save_all


def write_run(out: Path, result: Result, report: Mapping[str, Any], more: Mapping[str, Picture] = {}) -> None:
    """Write a run's folder: `config.json`, `metrics.npz` with arrays [seed, step], `summary.json`, figures.

    `metrics.npz` also has its `axes` and their values, the optimum of each seed, and the seeds that diverged.
    `states.npz` holds states, [seed, entry, …]: those that were asked for, or the final ones. `report.html`
    shows it all.

    Args:
        out: the folder.
        result: what the run gave.
        report: what `summary.json` holds.
        more: figures besides those that every run has, by file name.
    """
    settings = result.settings
    drawn = {**figures.overview({settings.names.objective: result}), **more}
    with replacing(out) as folder:
        write_json(folder / "config.json", settings.as_dict())
        arrays: dict[str, np.ndarray] = result.metrics | {
            "axes": np.array(["seed", "step"]),
            "seed": result.seeds,
            "step": np.arange(settings.steps + 1),
            "optimum": result.optimum,
            "diverged_seed": np.array(list(result.diverged), dtype=int),
            "diverged_iteration": np.array(list(result.diverged.values()), dtype=int),
        }
        with (folder / "metrics.npz").open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        final = jax.tree.map(lambda leaf: leaf[:, None], result.final)
        entries = final if result.every_state is None else result.every_state
        first = settings.steps if result.every_state is None else 0
        states.write(folder, entries, result.seeds, np.arange(first, settings.steps + 1))
        write_json(folder / "summary.json", report)
        pictures = save_all(drawn, folder)
        title, section = section_of(result, report, pictures)
        page.write(folder / page.FILE, title, "", [section], report)
