"""Parts of a long experiment on disk, one small file of arrays each, so that the experiment can resume."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.files import provenance
from fpo_jax.experiments.core.json_files import NotJson, parsed
from fpo_jax.experiments.core.npz_files import Damaged, read_npz
from fpo_jax.experiments.core.result_folder import new_folder
from fpo_jax.experiments.core.unfinished import put

Arrays = dict[str, np.ndarray]
ABOUT = "about"
"""JSON beside the arrays: the request, and the versions that computed it."""


def file_of(folder: Path, *labels: str) -> Path:
    """Return the file of a part."""
    name = "--".join(labels).replace("χ²", "chi2").replace("α", "alpha")
    return folder / f"{re.sub('[^a-zA-Z0-9.]', '-', name)}.npz"


def folder_of(out: Path | None, given: Path | None) -> Path | None:
    """Return the folder of parts: the given one, else OUT.parts, else none.

    Raises:
        InputError: when it lies in the folder of the results, which is replaced as a whole.
    """
    if given is None or out is None:
        return given if out is None else out.with_name(f"{out.name}.parts")
    if given.resolve().is_relative_to(out.resolve()):
        raise InputError("parts", given, f"a folder that is not in {out}, which is replaced as a whole")
    return given


def make_folder(folder: Path) -> None:
    """Make the folder of parts, before the work whose results it will keep.

    Raises:
        InputError: when it cannot be made, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        new_folder(folder / "try").rmdir()
    except OSError as error:
        raise InputError("parts", folder, f"a folder that can be written ({error.strerror})") from error


@contextmanager
def continued(folder: Path | None) -> Iterator[None]:
    """Let an interruption say that the folder keeps what is finished, if it keeps anything."""
    try:
        yield
    except KeyboardInterrupt as error:
        if folder is None or not any(folder.rglob("*.npz")):
            raise
        said = f"finished parts are kept in {folder}; the same command continues"
        raise KeyboardInterrupt(said) from error


def part(
    path: Path, asked: Mapping[str, Any], compute: Callable[[], Arrays], command: str, precision: str
) -> Arrays:
    """Return the arrays of an earlier part; compute and write them if there is none.

    Args:
        path: the file.
        asked: everything that the arrays depend on, as JSON.
        compute: returns the arrays.
        command: the command that computes them, to be named in the file.
        precision: of the computation, to be named in the file.

    Raises:
        InputError: when the file belongs to another request, or its folder cannot be written.
    """
    found = read_part(path, asked)
    if found is None:
        make_folder(path.parent)
        found = compute()
        write_part(path, found, asked, command, precision)
    return found


def write_part(
    path: Path, arrays: Mapping[str, np.ndarray], asked: Mapping[str, Any], command: str, precision: str
) -> None:
    """Write the arrays of a part, whole or not at all."""
    about = json.dumps({"asked": asked, **provenance(command, precision)})

    def save(aside: Path) -> None:
        with aside.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays, **{ABOUT: np.array(about)})

    put(path, save)


def read_part(path: Path, asked: Mapping[str, Any]) -> Arrays | None:
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
