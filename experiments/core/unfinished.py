"""The folder of unfinished work: each file is written aside and put in place by a rename.

A file's arrays carry checksums, so that a damaged one is noticed, and computed again.
"""

import importlib.metadata
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import jax
import numpy as np

import fpo_jax
from fpo_jax.engine.memory import host_bytes
from fpo_jax.errors import InputError
from fpo_jax.experiments.core import env_files
from fpo_jax.experiments.core.files import write_json
from fpo_jax.experiments.core.npz_files import Damaged, read_npz
from fpo_jax.experiments.core.result_folder import new_folder
from fpo_jax.experiments.core.settings import load

DIGEST = "env_digest"
"""What the file of a user's own environment held when the work began."""
CONFIG, LOCK = "config.json", "lock"
ASIDE = ".aside-"
"""How the names of files begin that are being written; a killed process leaves one behind."""
OURS = re.compile(rf"{CONFIG}|{LOCK}|{ASIDE}.*|(state|\d+(-\d+)+)\.npz|verdicts\.jsonl", re.S)
"""Names of the files that unfinished work writes."""


class Unfinished:
    """What unfinished work has done so far, in the folder NAME.partial beside its results NAME.

    `work` is what it is called in complaints, and `command` begins it, if that is another word.
    """

    def __init__(self, out: Path, work: str, command: str | None = None):
        self.folder, self.work = out.with_name(f"{out.name}.partial"), work
        self.command = command or work

    @property
    def exists(self) -> bool:
        """Say whether there is something to resume."""
        return (self.folder / CONFIG).exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep all other work out of this folder, and leave none behind in which nothing was begun.

        Raises:
            InputError: when another is at work here, the folder holds what is not ours, or it cannot be
                written.
        """
        new = not self.folder.exists()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                "out", self.folder, f"a folder that can be written ({error.strerror})"
            ) from error
        try:
            with filelock.FileLock(self.folder / LOCK, timeout=0):
                self._check_entries()
                try:
                    yield
                finally:
                    if new and self.folder.exists() and not self.exists:
                        self.finish()
        except filelock.Timeout as error:
            raise InputError("out", self.folder, f"free: another {self.work} is writing it") from error

    def _check_entries(self) -> None:
        """Remove what a killed process left half-written, and refuse what is not ours.

        A link is never ours: what we write would go where it leads.
        """
        for aside in self.folder.glob(f"{ASIDE}*"):
            aside.unlink()
        entries = sorted(self.folder.iterdir())
        foreign = [path.name for path in entries if path.is_symlink()]
        foreign += [] if self.exists else [path.name for path in entries if path.name != LOCK]
        if foreign:
            allowed = f"free for the {self.work}'s work (it holds {foreign[0]})"
            raise InputError("out", self.folder, allowed)

    def require_free(self) -> None:
        """Raise an InputError when work was interrupted here."""
        if self.exists:
            allowed = f"resumed with --resume, or {self.folder} removed first"
            raise InputError("out", self.folder.with_suffix(""), allowed)

    def begin(self, config: Mapping[str, Any]) -> None:
        """Write down what is being run."""
        whole = {**config, **env_files.digest(config.get("environment"), DIGEST)}
        self._put(CONFIG, lambda path: write_json(path, whole))

    def config(self) -> dict[str, Any]:
        """Return what is being run, and how.

        Raises:
            InputError: when it is the work of another command.
        """
        return load(self.folder / CONFIG, self.command)

    def wishes(self) -> dict[str, Any]:
        """Return what is being run: what was asked."""
        how = (*conditions(), DIGEST, "width")
        return {name: value for name, value in self.config().items() if name not in how}

    def resumed(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was begun, and say how it was computed then, where that has changed.

        Raises:
            InputError: names the first thing asked that was begun otherwise.
        """
        earlier = self.config()
        now = conditions()
        then = {name: earlier.pop(name, None) for name in now}
        digest = {DIGEST: earlier.pop(DIGEST, None)}
        for name, value in json.loads(json.dumps(asked)).items():
            if name == "env":  # which may be spelled otherwise: what it holds is compared
                if digest != env_files.digest(earlier.get("environment"), DIGEST):
                    raise InputError("env", value, f"as it was when the {self.work} to be resumed began")
            elif value != earlier.get(name):
                raise InputError(name, value, f"{earlier.get(name)}, as in the {self.work} to be resumed")
        for name, value in now.items():
            if then[name] != value and jax.process_index() == 0:
                changed = f"begun with {name} {then[name]}, resumed with {value}"
                sys.stderr.write(f"{changed}: results may differ in their last digits\n")
        return earlier

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write a file of arrays, whole or not at all."""

        def save(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)

        self._put(name, save)

    def read_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Return the arrays of a file.

        Raises:
            Damaged: when they are not what was written.
        """
        try:
            return read_npz(self.folder / name)
        except Damaged as error:
            raise Damaged(f"{name} ({error})") from error

    def finish(self) -> None:
        """Remove the work, all at once, since the results stand elsewhere; what is not ours stays."""
        gone = new_folder(self.folder) / self.folder.name
        os.replace(self.folder, gone)
        entries = [*gone.iterdir()]
        for path in entries:
            if OURS.fullmatch(path.name) and not path.is_dir():
                path.unlink()
        if any(gone.iterdir()):
            os.replace(gone, self.folder)
            sys.stderr.write(f"{self.folder} stays: it holds {min(self.folder.iterdir()).name}\n")
        else:
            gone.rmdir()
        gone.parent.rmdir()

    def _put(self, name: str, save: Callable[[Path], object]) -> None:
        put(self.folder / name, save)


def put(path: Path, save: Callable[[Path], object]) -> None:
    """Let `save` write a file aside, and put it in its place when it is whole."""
    aside = path.with_name(f"{ASIDE}{secrets.token_hex(4)}")
    try:
        save(aside)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def room(folder: Path | None) -> dict[str, float]:
    """Return the bytes that results may take in memory, and on the disk of a folder if one is written.

    They are gathered, put in order and written, and stand on the disk twice: kept so far, and whole.
    """
    places = {"in memory": host_bytes() / 3}
    if folder is not None:
        there = next(place for place in (folder, *folder.resolve().parents) if place.exists())
        places["on the disk"] = shutil.disk_usage(there).free / 2
    return places


def conditions() -> dict[str, Any]:
    """Return what may change from one run of a process to the next, and then the last digits of results."""
    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib")}
    versions = {"fpo-jax": fpo_jax.__version__} | versions
    return {"devices": jax.device_count(), "device": jax.devices()[0].device_kind} | versions


@contextmanager
def on_a_full_disk(out: Path, hint: str = "what is done is kept: go on with --resume") -> Iterator[None]:
    """Say in one line that the disk refused, and how to go on."""
    try:
        yield
    except OSError as error:
        allowed = f"on a disk that takes it ({error.strerror or error}); {hint}"
        raise InputError("out", out, allowed) from error
