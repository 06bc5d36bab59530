"""Offline data: answers of the base model, drawn once before the loop, and a reward head fitted to them.

The seed chooses some prompts of the file. To each the model gives the candidates and the reference response
that it would give at a step before any learning. No mode, weight or learning rate affects this, so all modes
begin with the same head.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.npz_files import Damaged, read_npz
from fpo_jax.experiments.llm.calibration import calibrated_weight
from fpo_jax.experiments.llm.fitting import Answers, fit
from fpo_jax.experiments.llm.learning import initial_state
from fpo_jax.experiments.llm.pipeline import Pipeline
from fpo_jax.experiments.llm.settings import TrainSettings
from fpo_jax.experiments.llm.unfinished import UnfinishedTraining
from fpo_jax.numerics.keys import named_key

FILE = "offline.npz"
"""Answers drawn so far, in OUT.partial; all of them, in OUT."""
ARRAYS = ("features", "utilities", "tokens", "prompts", "made_by")
"""Its arrays: the answers to each prompt, the prompts' numbers in the order drawn, and a digest of the
sampling.
"""
DRAWN_BY = (
    *("model_sha256", "prompts_sha256", "reward_model_sha256", "oracle_sha256", "random"),
    *("oracle", "reward_reads", "head_bias", "new_head", "fit_prompts", "candidates", "tokens"),
    *("least_tokens", "prompt_limit", "temperature", "top_p", "chat", "seed", "precision"),
)
"""The parts of a run's description that the answers depend on."""


def fitted(
    pipeline: Pipeline, described: Mapping[str, Any], unfinished: UnfinishedTraining | None
) -> Pipeline:
    """Return the pipeline with a fitted head, or unchanged if none is requested.

    Answers are saved in the folder of the unfinished run, if there is one, and not drawn again. The fit
    itself takes seconds, and a resumed run repeats it from the same answers.

    Raises:
        InputError: when there are too few prompts, or saved answers cannot be used.
    """
    settings = pipeline.settings
    if not settings.fit_prompts:
        return pipeline
    rows = _drawn(pipeline, _made_by(described), unfinished)
    key = jax.random.key(settings.seed)
    answers = Answers(*(jnp.asarray(rows[name]) for name in Answers._fields))
    number = len(rows["prompts"]) - settings.held_out_prompts
    result = fit(
        answers.of(slice(number)),
        answers.of(slice(number, None)),
        pipeline.start.head,
        settings.fit_ridge,
        settings.labels,
        named_key(key, "offline annotator"),
    )
    told = result.told
    before, after = (100 * told[f"held_out_accuracy_{name}"] for name in ("drawn", "fitted"))
    sys.stderr.write(
        f"the reward head is fitted on {told['fit_pairs']:.0f} pairs, with ridge {told['fit_ridge']:g}: of "
        f"{told['held_out_pairs']:.0f} held-out pairs it orders {after:.1f} % as the oracle does; the head "
        f"before the fit, {before:.1f} %\n"
    )
    start = pipeline.start
    begun = initial_state(pipeline.training, start.adapter, result.head)
    begun = begun._replace(curvature=None if begun.curvature is None else result.curvature)
    placed = jax.tree.map(lambda new, old: jax.device_put(new, old.sharding), begun, start)
    held_out = jax.device_put(result.held_out, start.head.sharding)
    weight = pipeline.weight
    if settings.calibrated and settings.mode != "rlhf":
        weight = calibrated_weight(answers, result.head, result.curvature, settings.mode, settings.damping)
        sys.stderr.write(f"the weight is {weight:.4g}: penalty and reward have the same spread\n")
    return pipeline._replace(
        start=placed, weight=weight, fit=result._replace(held_out=held_out), offline=rows
    )


def chosen(settings: TrainSettings, number: int) -> np.ndarray:
    """Return the chosen prompts in an order from the seed; the last are held out.

    Raises:
        InputError: when there are fewer.
    """
    if settings.fit_prompts > number:
        raise InputError(
            "fit_prompts", settings.fit_prompts, f"at most {number}, the number of prompts in the file"
        )
    key = named_key(jax.random.key(settings.seed), "offline prompts")
    return np.asarray(jax.random.permutation(key, number)[: settings.fit_prompts])


def _drawn(
    pipeline: Pipeline, made_by: np.ndarray, unfinished: UnfinishedTraining | None
) -> dict[str, np.ndarray]:
    """Return the answers: saved or given ones, and the rest drawn now."""
    settings, rows = pipeline.settings, dict[str, np.ndarray]()
    order = chosen(settings, len(pipeline.prompts))
    if unfinished and (unfinished.folder / FILE).exists():
        hint = f"; remove {unfinished.folder} and start again"
        rows = _read(unfinished.folder / FILE, "resume", hint, order, made_by)
    elif settings.fit_answers is not None:
        rows = _read(Path(settings.fit_answers), "fit_answers", "", order, made_by)

    def keep() -> None:
        if unfinished and rows:
            unfinished.write_arrays(FILE, rows | {"made_by": made_by})

    done = len(rows.get("prompts", ()))
    try:
        with tqdm(
            desc="answers to fit on", total=len(order), initial=done, unit="prompt", file=sys.stderr
        ) as bar:
            while done < len(order):
                new = _answers(pipeline, order[done : done + settings.together])
                rows = {name: np.concatenate([rows.get(name, some[:0]), some]) for name, some in new.items()}
                bar.update(len(rows["prompts"]) - done)
                if len(rows["prompts"]) // settings.every > done // settings.every:
                    keep()
                done = len(rows["prompts"])
    except KeyboardInterrupt:
        keep()
        raise
    keep()
    return rows | {"made_by": made_by}


def _answers(pipeline: Pipeline, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the model answers to some prompts, with a leading axis of them.

    A batch has as many prompts as a group of steps, so the programs are those of the loop. The last prompt
    fills missing places.
    """
    number, together = len(indices), pipeline.settings.together
    asked = [int(index) for index in np.pad(indices, (0, together - number), mode="edge")]
    key = named_key(jax.random.key(pipeline.settings.seed), "offline")
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.array(asked))
    said = pipeline.answered(pipeline.start, [pipeline.prompts[index] for index in asked], keys)
    for place, index in enumerate(asked):
        pipeline.require_utilities(said.to(place), f"for prompt {index} of those to fit on")
    drawn, other = said.features
    features = jnp.concatenate([drawn.reward, other.reward[:, None]], axis=1)
    by_oracle = jnp.concatenate([drawn.oracle, other.oracle[:, None]], axis=1)
    tokens = jnp.concatenate([said.generated.candidates, said.generated.reference], axis=1)
    rows: dict[str, Any] = {
        "features": features,
        "utilities": by_oracle @ pipeline.oracle_head,
        "tokens": tokens,
        "prompts": np.asarray(asked, np.int32),
    }
    return {name: np.asarray(value)[:number] for name, value in rows.items()}


def _made_by(described: Mapping[str, Any]) -> np.ndarray:
    """Return a digest of everything that the answers depend on."""
    told = {name: described.get(name) for name in DRAWN_BY}
    if described.get("random"):
        told["model"] = described["model"]  # drawn weights have no SHA-256
    told["oracle"] = told["oracle"] if told["oracle_sha256"] is None else "a folder"
    return np.frombuffer(hashlib.sha256(json.dumps(told).encode()).digest(), np.uint8)


def _read(path: Path, field: str, hint: str, order: np.ndarray, made_by: np.ndarray) -> dict[str, np.ndarray]:
    """Read a file of answers.

    Raises:
        InputError: when it is not such a file, or its answers were drawn in another way than this run's.
    """
    try:
        rows = read_npz(path)
        shapes = {name: rows[name].shape for name in ARRAYS}
        p, n, _ = shapes["features"]
        if len(shapes) != len(rows) or shapes["utilities"] != (p, n) or shapes["tokens"][:2] != (p, n):
            raise ValueError("no answers of a run")
        if not all(np.isfinite(rows[name]).all() for name in ("features", "utilities")):
            raise ValueError("it holds what is no number")
    except (Damaged, KeyError, TypeError, ValueError) as error:
        reason = f"it has no array {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(field, path, f"readable ({reason}){hint}") from error
    same = np.array_equal(rows["made_by"], made_by)
    if not same or not np.array_equal(rows["prompts"], order[:p]):
        allowed = (
            "answers from a run with the same model, oracle, prompts, seed, --fit-prompts, --candidates "
            "and sampling"
        )
        raise InputError(field, path, f"{allowed}{hint}")
    return {name: rows[name] for name in ARRAYS if name != "made_by"}
