"""Results of a run of the pipeline, in the format of every other: settings, [seed, step], summary, figure."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors.numpy import save_file

from fpo_jax import plotting
from fpo_jax.experiments.core.files import provenance, write_json
from fpo_jax.experiments.core.result_folder import replacing
from fpo_jax.experiments.llm import adapter, offline
from fpo_jax.experiments.llm.checkpoint import BIAS, SCORE
from fpo_jax.experiments.llm.figures import OBJECTIVE_OF, draw
from fpo_jax.experiments.llm.page import section_of
from fpo_jax.experiments.llm.pipeline import Pipeline
from fpo_jax.experiments.llm.settings import TrainSettings
from fpo_jax.experiments.llm.unfinished import TrainProgress
from fpo_jax.experiments.report import page

TOKENS = ("winner_tokens", "reference_tokens", "winner")
"""Records that are not metrics."""
SHARE = 10
"""Summaries are means over the first and the last tenth of the steps, since single prompts vary a lot."""


def metrics(progress: TrainProgress) -> dict[str, np.ndarray]:
    """Return the metrics, [seed, step], with one seed."""
    return {
        name: np.asarray(v, np.float64)[None] for name, v in progress.arrays().items() if name not in TOKENS
    }


def summary(pipeline: Pipeline, progress: TrainProgress) -> dict[str, Any]:
    """Summarise a run as one flat dictionary: means over the first and the last tenth of its steps."""
    settings, measured = pipeline.settings, metrics(progress)
    part = max(1, settings.steps // SHARE)
    return (
        {
            "environment": "llm",
            "objective": OBJECTIVE_OF.get(settings.mode, settings.mode),
            "mode": settings.mode,
            "weight": None if settings.mode == "rlhf" else pipeline.weight,
            "seeds": 1,
            "steps": settings.steps,
            "averaged_over_steps": part,
        }
        | {f"{name}_first": float(values[0, :part].mean()) for name, values in measured.items()}
        | {f"{name}_final": float(values[0, -part:].mean()) for name, values in measured.items()}
        | ({} if pipeline.fit is None else pipeline.fit.told)
        | {
            "seconds": sum(progress.seconds),
            "seconds_per_step_median": _seconds_per_step(settings, progress),
            "peak_bytes_on_device": (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use"),
        }
        | provenance(settings.command(), settings.precision, ("transformers", "tokenizers", "safetensors"))
    )


def _seconds_per_step(settings: TrainSettings, progress: TrainProgress) -> float:
    """Return the median over groups of the mean seconds of a step; most groups compile nothing."""
    size = settings.together
    groups = [progress.seconds[first : first + size] for first in range(0, len(progress.seconds), size)]
    return float(np.median([np.mean(group) for group in groups]))


def write(out: Path, pipeline: Pipeline, progress: TrainProgress) -> dict[str, Any]:
    """Write a run's folder, and return its summary.

    `config.json`, re-runnable; `metrics.npz`, arrays [seed, step]; `summary.json`; the figure;
    `report.html`, one page to look at; `responses.jsonl`, winner and reference response of each step;
    `adapter/`, in PEFT's layout; `reward_head.safetensors`; `offline.npz`, the data of an offline fit, if
    any.
    """
    settings = pipeline.settings
    measured, report, arrays = metrics(progress), summary(pipeline, progress), progress.arrays()
    with replacing(out) as folder:
        write_json(folder / "config.json", settings.as_dict())
        axes = {"seed": np.array([settings.seed]), "step": np.arange(settings.steps)}
        with (folder / "metrics.npz").open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **measured, **axes)
        write_json(folder / "summary.json", report)
        pictures = plotting.save_all({"overview": draw(settings, measured, pipeline.weight)}, folder)
        section = section_of(settings, report, measured, pictures)
        page.write(folder / page.FILE, f"Language model, {settings.mode}", "", [section], report)
        if pipeline.offline is not None:
            with (folder / offline.FILE).open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **pipeline.offline)
        _write_responses(folder / "responses.jsonl", pipeline, arrays)
        state, lora = progress.state, pipeline.training.lora
        adapter.save(folder / "adapter", state.adapter, pipeline.base.config, lora, settings.model)
        head, width = np.asarray(state.head), pipeline.reward_model.config.embed_dim
        stored = {SCORE: head[None, :width]} | ({BIAS: head[width:]} if len(head) > width else {})
        save_file(
            {name: np.ascontiguousarray(v) for name, v in stored.items()}, folder / "reward_head.safetensors"
        )
    return report


def _write_responses(path: Path, pipeline: Pipeline, arrays: dict[str, np.ndarray]) -> None:
    """Write the prompt, the winner and the reference response of every step, one JSON object a line."""
    say = pipeline.tokenizer.response
    with path.open("w", encoding="utf-8") as file:
        for step, index in enumerate(arrays["winner"]):
            line = {
                "step": step,
                "prompt": pipeline.prompts[step % len(pipeline.prompts)].text,
                "winner": say(arrays["winner_tokens"][step]),
                "reference": say(arrays["reference_tokens"][step]),
                "candidate": int(index),
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
