"""Trials on disk: one small file each, so that an interrupted comparison goes on where it stopped."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from fpo_jax.errors import InputError
from fpo_jax.experiments.comparison.methods import Method, Place
from fpo_jax.experiments.comparison.trial import Runs, Trial, wishes
from fpo_jax.experiments.core.files import provenance
from fpo_jax.experiments.core.json_files import NotJson, parsed
from fpo_jax.experiments.core.npz_files import Damaged, read_npz
from fpo_jax.experiments.core.unfinished import put

ABOUT = "about"
"""JSON beside the arrays: what was asked, and by which versions it was computed."""


def file_of(folder: Path, place: Place, method: Method) -> Path:
    """Return the file of a trial."""
    name = f"{place.label}--{method.label}".replace("χ²", "chi2").replace("α", "alpha")
    return folder / f"{re.sub('[^a-zA-Z0-9.]', '-', name)}.npz"


def asked_of(place: Place, method: Method, **more: Any) -> dict[str, Any]:
    """Return what a trial rests on: settings, values, seeds."""
    return {
        "settings": wishes(place, method, **more),
        "tuned": method.tuned,
        "values": list(method.values),
        "tuning": place.tuning,
        "seeds": place.seeds,
    }


def write(path: Path, trial: Trial, asked: dict[str, Any], command: str) -> None:
    """Write a trial, whole or not at all."""
    about = json.dumps({"asked": asked, **provenance(command, asked["settings"]["precision"])})

    def save(aside: Path) -> None:
        with aside.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **_flat(trial), **{ABOUT: np.array(about)})

    put(path, save)


def _flat(trial: Trial) -> dict[str, np.ndarray]:
    """Return the arrays of a trial by name."""
    flat = {name: np.asarray(value) for name, value in trial._asdict().items() if not isinstance(value, Runs)}
    for name in ("tuning", "judged"):
        flat |= {f"{name}/{field}": values for field, values in getattr(trial, name)._asdict().items()}
    return flat


def read(path: Path, asked: dict[str, Any]) -> Trial | None:
    """Return a trial that was computed earlier, or None where there is none, or one that is damaged.

    Raises:
        InputError: when it was asked something else.
    """
    if not path.exists():
        return None
    try:
        arrays = read_npz(path)
        about: Any = parsed(str(arrays.pop(ABOUT)))
        runs = {
            name: Runs(**{f: arrays[f"{name}/{f}"] for f in Runs._fields}) for name in ("tuning", "judged")
        }
        trial = Trial(
            arrays["values"], chosen=int(arrays["chosen"]), undefined=str(arrays["undefined"]), **runs
        )
        before = about["asked"]
    except (Damaged, NotJson, KeyError, TypeError, ValueError):
        return None
    if before != asked:
        key = next(key for key in asked if before.get(key) != asked[key])
        allowed = f"that of this comparison, {key} = {asked[key]}; move it away, or name another folder"
        raise InputError("parts", f"{path.name} with {key} = {before.get(key)}", allowed)
    return trial
