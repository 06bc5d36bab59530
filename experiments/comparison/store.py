"""Trials on disk, one small file each, so that an interrupted comparison can resume."""

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


def write(path: Path, trial: Trial, asked: dict[str, Any], command: str) -> None:
    """Write the file of a trial as a whole, or not at all.

    Args:
        path: the file.
        trial: the trial.
        asked: what it depends on, as `asked_of` says.
        command: the command that computes it, to be named in the file.
    """
    parts.write_part(path, _flat(trial), asked, command, asked["settings"]["precision"])


def _flat(trial: Trial) -> dict[str, np.ndarray]:
    """Return the arrays of a trial by name."""
    flat = {name: np.asarray(value) for name, value in trial._asdict().items() if not isinstance(value, Runs)}
    for name in ("tuning", "judged"):
        flat |= {f"{name}/{field}": values for field, values in getattr(trial, name)._asdict().items()}
    return flat


def read(path: Path, asked: dict[str, Any]) -> Trial | None:
    """Return a trial that was computed earlier, or None if its file is missing or damaged.

    Raises:
        InputError: when the file is for other settings, values or seeds.
    """
    arrays = parts.read_part(path, asked)
    if arrays is None:
        return None
    try:
        runs = {
            name: Runs(**{f: arrays[f"{name}/{f}"] for f in Runs._fields if f != "regret"})._replace(
                regret=arrays.get(f"{name}/regret", np.array(np.nan))
            )
            for name in ("tuning", "judged")
        }
        return Trial(
            arrays["values"], chosen=int(arrays["chosen"]), undefined=str(arrays["undefined"]), **runs
        )
    except (KeyError, TypeError, ValueError):
        return None
