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
    """Write the folder of a run.

    `config.json` has the settings, `metrics.npz` the metrics [seed, step], `summary.json` the summary.
    `metrics.npz` also has the names and values of its axes, the optimum of each seed, and the diverged seeds.
    `states.npz` has states [seed, entry, …]: all of them if the run saved them, else the final ones. There
    are figures, and `report.html` shows everything.

    Args:
        out: the folder. It is replaced as a whole, or not at all.
        result: the result of the run.
        report: content of `summary.json`.
        more: figures in addition to those of every run, by file name.
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
