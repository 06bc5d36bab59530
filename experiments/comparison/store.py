"""Trials on disk, one small file each, so that an interrupted comparison can resume."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fpo_jax.experiments.comparison.methods import Method, Place
from fpo_jax.experiments.comparison.trial import Runs, Trial, wishes
from fpo_jax.experiments.core import parts


def file_of(folder: Path, place: Place, method: Method) -> Path:
    """Return the file of a trial."""
    return parts.file_of(folder, place.label, method.label)


def asked_of(place: Place, method: Method, **more: Any) -> dict[str, Any]:
    """Return what the numbers of a trial depend on: settings, values, seeds."""
    return {
        "settings": wishes(place, method, **more),
        "tuned": method.tuned,
        "values": list(method.values),
        "tuning": place.tuning,
        "seeds": place.seeds,
    }


def kept_or_computed(
    folder: Path, place: Place, method: Method, compute: Callable[[], Trial], command: str, **more: Any
) -> tuple[Trial, float]:
    """Return a trial that the folder keeps, and the CPU seconds that it took; compute and keep a missing one.

    Args:
        folder: of the trials.
        place, method, more: what is tried, as in `asked_of`.
        compute: returns the trial.
        command: the command that computes it, to be named in the file.

    Raises:
        InputError: when the file is for other settings, values or seeds, or the folder cannot be written.
    """
    path, asked = file_of(folder, place, method), asked_of(place, method, **more)
    precision = asked["settings"]["precision"]
    kept = parts.part(path, asked, lambda: _flat(compute()), command, precision, trial_of)
    return trial_of(kept.arrays), kept.seconds


def _flat(trial: Trial) -> dict[str, np.ndarray]:
    """Return the arrays of a trial by name."""
    flat = {name: np.asarray(value) for name, value in trial._asdict().items() if not isinstance(value, Runs)}
    for name in ("tuning", "judged"):
        flat |= {f"{name}/{field}": values for field, values in getattr(trial, name)._asdict().items()}
    return flat


def trial_of(arrays: parts.Arrays) -> Trial:
    """Return the trial with these arrays. Regret came later, so it may be missing.

    Raises:
        KeyError, TypeError or ValueError: when they are no trial.
    """
    runs = {
        name: Runs(**{of: arrays[f"{name}/{of}"] for of in Runs._fields if f"{name}/{of}" in arrays})
        for name in ("tuning", "judged")
    }
    return Trial(arrays["values"], chosen=int(arrays["chosen"]), undefined=str(arrays["undefined"]), **runs)
