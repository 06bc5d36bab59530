"""The folder of an evaluation: settings, numbers, answers, summary, figures and page."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.core.files import write_json, write_table
from fpo_jax.experiments.core.result_folder import replacing
from fpo_jax.experiments.llm.evaluation.figures import draw
from fpo_jax.experiments.llm.evaluation.page import section_of
from fpo_jax.experiments.llm.evaluation.settings import EvaluateSettings
from fpo_jax.experiments.llm.evaluation.summary import Measured
from fpo_jax.experiments.report import page


def write(out: Path, settings: EvaluateSettings, measured: Measured, found: Mapping[str, Any]) -> None:
    """Write `config.json`, `metrics.npz`, tables, `answers.jsonl`, `summary.json`, figures and page."""
    with replacing(out) as folder:
        write_json(folder / "config.json", settings.as_dict())
        with (folder / "metrics.npz").open("wb") as file:
            candidates = {f"candidate_{name}": values for name, values in measured.candidates.items()}
            axis = {"model": np.array(measured.names)}
            np.savez_compressed(file, allow_pickle=False, **axis, **measured.values, **candidates)
        write_table(folder / "means.csv", found["means"])
        write_table(folder / "differences.csv", found["differences"])
        with (folder / "answers.jsonl").open("w", encoding="utf-8") as file:
            for place, prompt in enumerate(measured.prompts):
                said = {name: own[place] for name, own in zip(measured.names, measured.answers, strict=True)}
                file.write(json.dumps({"prompt": prompt, "answers": said}, ensure_ascii=False) + "\n")
        write_json(folder / "summary.json", found)
        pictures = plotting.save_all(draw(measured, found), folder)
        section = section_of(settings, measured, found, pictures)
        page.write(folder / page.FILE, "Policies, measured", "", [section], found, "evaluate")
