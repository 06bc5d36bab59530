"""A run of the pipeline: go through the prompts, save checkpoints, write results."""

import shlex
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from tqdm import tqdm

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.result_folder import require_writable
from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.core.unfinished import on_a_full_disk
from fpo_jax.experiments.llm import files
from fpo_jax.experiments.llm.extra import Interrupted
from fpo_jax.experiments.llm.folders import description
from fpo_jax.experiments.llm.offline import fitted
from fpo_jax.experiments.llm.pipeline import Pipeline, prepare
from fpo_jax.experiments.llm.settings import HOW, TrainSettings
from fpo_jax.experiments.llm.unfinished import TrainProgress, UnfinishedTraining
from fpo_jax.experiments.runs.result import Diverged


def train(settings: TrainSettings, out: Path | None, resume: bool = False) -> dict[str, Any]:
    """Run the pipeline to its end, resuming if asked, and return the summary that it also writes.

    Raises:
        InputError: when something cannot be used; says what to do.
        Diverged: a number became infinite or undefined.
        Interrupted: by the user; finished work is saved.
    """
    with in_precision("float32"):
        if out is None:
            described = description(settings) if settings.fit_prompts else {}
            pipeline = prepare(settings)
            sys.stderr.write(f"{settings.command()}\n")
            pipeline = fitted(pipeline, described, None)
            done = _finished(pipeline, TrainProgress.empty(pipeline.start), None)
            return files.summary(pipeline, done)
        require_writable(out)
        unfinished = UnfinishedTraining(out)
        with unfinished.locked():
            described = description(settings)
            if resume:
                unfinished.require_same(described, HOW)
            else:
                unfinished.require_free()
            pipeline = prepare(settings)
            sys.stderr.write(f"{settings.command()}\n")
            if not resume:
                with on_a_full_disk(out, "nothing was done"):
                    unfinished.begin(described)
            try:
                with on_a_full_disk(out):
                    pipeline = fitted(pipeline, described, unfinished)
                    progress = unfinished.load(TrainProgress.empty(pipeline.start))
                    done = _finished(pipeline, progress, unfinished)
                report = _written(out, pipeline, done)
            except KeyboardInterrupt:
                again = f"{settings.command()} --out {shlex.quote(str(out))} --resume"
                raise Interrupted(again) from None
            unfinished.finish()
        return report


def _written(out: Path, pipeline: Pipeline, done: TrainProgress) -> dict[str, Any]:
    """Write results; if that fails, say how to continue, since all steps are saved."""
    try:
        return files.write(out, pipeline, done)
    except InputError as error:
        allowed = f"{error.allowed}; all steps are saved: continue with --resume"
        raise InputError(error.field, error.value, allowed) from error
    except SafetensorError as error:  # what safetensors makes of a full disk
        allowed = f"on a disk with room ({error}); all steps are saved: continue with --resume"
        raise InputError("out", out, allowed) from error


def _finished(
    pipeline: Pipeline, progress: TrainProgress, unfinished: UnfinishedTraining | None
) -> TrainProgress:
    """Continue a run to its end, with checkpoints on the way, at the end and when stopped."""
    settings = pipeline.settings
    drawn = None  # for a group of steps with the same policy
    bar = tqdm(total=settings.steps, initial=progress.steps, unit="prompt", file=sys.stderr)
    with bar:
        try:
            while progress.steps < settings.steps:
                began = time.monotonic()
                if drawn is None or progress.steps % settings.together == 0:
                    drawn = pipeline.drawn(progress.state, progress.steps)
                state, written = pipeline.step(progress.state, progress.steps, drawn)
                _require_finite(written, progress.steps)
                progress = progress.after(state, written, time.monotonic() - began)
                bar.update()
                shown = ("proxy_reward", "true_utility", "kl")
                bar.set_postfix({name: f"{float(written[name]):.3g}" for name in shown})
                due = progress.steps % settings.every == 0 or progress.steps == settings.steps
                if unfinished and due:
                    unfinished.save(progress)
        except KeyboardInterrupt:
            if unfinished:
                unfinished.save(progress)
            raise
    return progress


def _require_finite(written: dict[str, np.ndarray], step: int) -> None:
    bad = [name for name, value in written.items() if not np.all(np.isfinite(value))]
    if bad:
        raise Diverged(f"{bad[0]} became infinite or undefined at step {step}; try smaller learning rates")
