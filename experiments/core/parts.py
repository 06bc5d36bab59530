"""Parts of a long experiment on disk, one small file of arrays each, so that the experiment can resume."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.files import provenance
from fpo_jax.experiments.core.json_files import NotJson, parsed
from fpo_jax.experiments.core.npz_files import Damaged, read_npz
from fpo_jax.experiments.core.unfinished import put

ABOUT = "about"
"""JSON beside the arrays: the request, and the versions that computed it."""


def file_of(folder: Path, *labels: str) -> Path:
    """Return the file of a part."""
    name = "--".join(labels).replace("χ²", "chi2").replace("α", "alpha")
    return folder / f"{re.sub('[^a-zA-Z0-9.]', '-', name)}.npz"


def write_part(
    path: Path, arrays: Mapping[str, np.ndarray], asked: Mapping[str, Any], command: str, precision: str
) -> None:
    """Write the arrays of a part, whole or not at all."""
    about = json.dumps({"asked": asked, **provenance(command, precision)})

    def save(aside: Path) -> None:
        with aside.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays, **{ABOUT: np.array(about)})

    put(path, save)


def read_part(path: Path, asked: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
    """Return the arrays of an earlier part; None if there is none, or a damaged one.

    Raises:
        InputError: when it belongs to another request.
    """
    if not path.exists():
        return None
    try:
        arrays = read_npz(path)
        about: Any = parsed(str(arrays.pop(ABOUT)))
        before = about["asked"]
        now = json.loads(json.dumps(asked))
        differs = [key for key in now if before.get(key) != now[key]]
    except (Damaged, NotJson, KeyError, TypeError, ValueError, AttributeError):
        return None
    if differs or before != now:
        key = differs[0] if differs else next(key for key in before if key not in now)
        allowed = f"from this experiment, with {key} = {now.get(key)}; move it away, or use another folder"
        raise InputError("parts", f"{path.name} with {key} = {before.get(key)}", allowed)
    return arrays
