"""Parts of a long experiment on disk, one small file of arrays each, so that the experiment can resume."""

import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.files import provenance
from fpo_jax.experiments.core.json_files import NotJson, parsed
from fpo_jax.experiments.core.npz_files import Damaged, read_npz
from fpo_jax.experiments.core.result_folder import new_folder
from fpo_jax.experiments.core.unfinished import put

Arrays = dict[str, np.ndarray]
ABOUT = "about"
"""JSON beside the arrays: the request, the time of the computation, and the versions that computed it."""


class Kept(NamedTuple):
    """A part.

    Attributes:
        arrays: its numbers, by name.
        seconds: CPU time of their computation, of all threads and of the processes that it started; NaN if it
            is not known, as in files older than this field.
    """

    arrays: Arrays
    seconds: float = math.nan


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


def unchecked(arrays: Arrays) -> None:
    """Accept any arrays."""


def part(
    path: Path,
    asked: Mapping[str, Any],
    compute: Callable[[], Arrays],
    command: str,
    precision: str,
    check: Callable[[Arrays], object] = unchecked,
    timed: bool = True,
) -> Kept:
    """Return an earlier part; compute and write it if there is none.

    Args:
        path: the file.
        asked: everything that the arrays depend on, as JSON.
        compute: returns the arrays.
        command: the command that computes them, to be named in the file.
        precision: of the computation, to be named in the file.
        check: reads the arrays; if it raises KeyError, TypeError or ValueError, the file counts as damaged.
        timed: whether to keep the time of the computation; not for one that may go on where another stopped.

    Raises:
        InputError: when the file belongs to another request, or its folder cannot be written.
    """
    found = read_part(path, asked, check)
    if found is None:
        make_folder(path.parent)
        began = _cpu_seconds()
        arrays = compute()
        found = Kept(arrays, _cpu_seconds() - began if timed else math.nan)
        write_part(path, found, asked, command, precision)
    return found


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of those that it started and waited for."""
    return sum(os.times()[:4])


def write_part(path: Path, kept: Kept, asked: Mapping[str, Any], command: str, precision: str) -> None:
    """Write a part, whole or not at all."""
    seconds = {"seconds": kept.seconds} if math.isfinite(kept.seconds) else {}  # JSON has no NaN
    about = json.dumps({"asked": asked, **seconds, **provenance(command, precision)})

    def save(aside: Path) -> None:
        with aside.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **kept.arrays, **{ABOUT: np.array(about)})

    put(path, save)


def read_part(
    path: Path, asked: Mapping[str, Any], check: Callable[[Arrays], object] = unchecked
) -> Kept | None:
    """Return an earlier part; None if there is none, or a damaged one, in which `check` fails.

    Raises:
        InputError: when it belongs to another request.
    """
    if not path.exists():
        return None
    try:
        arrays = read_npz(path)
        about: Any = parsed(str(arrays.pop(ABOUT)))
        check(arrays)
        before, seconds = about["asked"], float(about.get("seconds", math.nan))
        now = json.loads(json.dumps(asked))
        differs = [key for key in now if before.get(key) != now[key]]
    except (Damaged, NotJson, KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    if differs or before != now:
        key = differs[0] if differs else next(key for key in before if key not in now)
        allowed = f"from this experiment, with {key} = {now.get(key)}; move it away, or use another folder"
        raise InputError("parts", f"{path.name} with {key} = {before.get(key)}", allowed)
    return Kept(arrays, seconds)


def time_taken(seconds: Sequence[float]) -> str:
    """Say how much CPU time the computation of the parts took, as far as it is known.

    Args:
        seconds: of each part; NaN where it is not known.
    """
    known = [each for each in seconds if math.isfinite(each)]
    if not known:
        return ""
    which = "the numbers" if len(known) == len(seconds) else f"{len(known)} of the {len(seconds)} parts"
    unknown = "" if len(known) == len(seconds) else " That of the others is not known."
    return f"Computing {which} took {_span(sum(known))} of CPU time.{unknown}"


def _span(seconds: float) -> str:
    """Return a time in seconds, minutes or hours, with two digits or more."""
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
