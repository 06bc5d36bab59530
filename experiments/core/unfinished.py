"""The folder of unfinished work: each file is written elsewhere and moved into place by a rename.

A file's arrays carry checksums, so that a damaged file is noticed and computed again.
"""

import fcntl
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

import jax
import numpy as np

import fpo_jax
from fpo_jax.engine.memory import host_bytes
from fpo_jax.errors import InputError, shortened, visible
from fpo_jax.experiments.core import env_files
from fpo_jax.experiments.core.files import write_json
from fpo_jax.experiments.core.npz_files import Damaged, read_npz
from fpo_jax.experiments.core.result_folder import new_folder
from fpo_jax.experiments.core.settings import load

DIGEST = "env_digest"
"""A digest of the user's environment file when the work began."""
CONFIG, LOCK = "config.json", "lock"
ASIDE = ".aside-"
"""Prefix of files that are being written; a killed process leaves one behind."""
OURS = re.compile(rf"{CONFIG}|{LOCK}|{ASIDE}[0-9a-f]{{8}}|(state|offline|done(-\d+)+)\.npz|verdicts\.jsonl")
"""Names of the files that unfinished work writes."""


class Unfinished:
    """The progress of unfinished work, in the folder NAME.partial beside its results NAME.

    `work` is its name in error messages, and `command` starts it, if that is another word.
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
        """Lock the folder against other work; remove it if nothing was begun.

        Raises:
            InputError: when other work is using it, it holds files that are not ours, or it cannot be
                written.
        """
        new = not os.path.lexists(self.folder)
        try:
            if self.folder.is_symlink():
                raise InputError("out", self.folder, f"free for the {self.work}'s work, and no link")
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_entries()
            lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        except OSError as error:
            allowed = f"a folder that can be written ({error.strerror})"
            raise InputError("out", self.folder, allowed) from error
        try:
            self._take(lock)
            for aside in self.folder.glob(f"{ASIDE}*"):
                if OURS.fullmatch(aside.name):
                    aside.unlink()
            try:
                yield
            finally:
                if new and self._holds(lock) and not self.exists:
                    self.finish()
        finally:
            # Its file is not removed: another process may have made a folder of this name meanwhile.
            os.close(lock)

    def _take(self, lock: int) -> None:
        """Lock an open file, if it is still the one in the folder.

        Raises:
            InputError: when another process has locked it.
        """
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            taken = False
        else:
            taken = self._holds(lock)
        if not taken:
            raise InputError("out", self.folder, f"free, but another {self.work} is writing to it")

    def _holds(self, lock: int) -> bool:
        """Say whether an open file is the lock of the present folder."""
        try:
            return os.path.samestat(os.fstat(lock), os.stat(self.folder / LOCK))
        except OSError:
            return False

    def _check_entries(self) -> None:
        """Check that a folder belongs to this command, or that nothing was begun in it.

        A link is never ours, because our files would go to its target.
        """
        entries = sorted(self.folder.iterdir())
        foreign = [path.name for path in entries if path.is_symlink()]
        if not self.exists:
            foreign += [path.name for path in entries if not _is_left_behind(path)]
        if foreign:
            allowed = f"free for the {self.work}'s work, but it holds {foreign[0]}"
            raise InputError("out", self.folder, allowed)

    def require_free(self) -> None:
        """Raise an InputError if there is interrupted work here."""
        if self.exists:
            allowed = f"resumed with --resume, or remove {self.folder} first"
            raise InputError("out", self.folder.with_suffix(""), allowed)

    def begin(self, config: Mapping[str, Any]) -> None:
        """Save the settings of the work."""
        whole = {**config, **env_files.digest(config.get("environment"), DIGEST)}
        self._put(CONFIG, lambda path: write_json(path, whole))

    def config(self) -> dict[str, Any]:
        """Return the saved settings of the work, and how it is computed.

        Raises:
            InputError: when it is the work of another command.
        """
        return load(self.folder / CONFIG, self.command)

    def wishes(self) -> dict[str, Any]:
        """Return the saved settings of the work."""
        how = (*conditions(), DIGEST, "width")
        return {name: value for name, value in self.config().items() if name not in how}

    def resumed(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the begun work, and print how it was computed, if that has changed.

        Raises:
            InputError: names the first setting that differs from the begun work.
        """
        earlier = self.config()
        now = conditions()
        then = {name: earlier.pop(name, None) for name in now}
        digest = {DIGEST: earlier.pop(DIGEST, None)}
        for name, value in json.loads(json.dumps(asked)).items():
            if name == "env":  # its path may differ, so its contents are compared
                if digest != env_files.digest(earlier.get("environment"), DIGEST):
                    raise InputError("env", value, f"unchanged since the {self.work} to resume began")
            elif value != earlier.get(name):
                raise InputError(name, value, f"{earlier.get(name)}, as in the {self.work} to resume")
        for name, value in now.items():
            if then[name] != value and jax.process_index() == 0:
                changed = f"begun with {name} {shortened(str(then[name]))}, resumed with {value}"
                sys.stderr.write(visible(f"{changed}: results may differ in their last digits") + "\n")
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
            Damaged: when they are not as written.
        """
        try:
            return read_npz(self.folder / name)
        except Damaged as error:
            raise Damaged(f"{name} ({error})") from error

    def finish(self) -> None:
        """Remove the work all at once, after the results are in place; files that are not ours stay."""
        gone = new_folder(self.folder) / self.folder.name
        os.replace(self.folder, gone)
        for path in [*gone.iterdir()]:
            if OURS.fullmatch(path.name) and not path.is_dir():
                path.unlink()
        left = sorted(path.name for path in gone.iterdir())
        if left:
            os.replace(gone, self.folder)
            sys.stderr.write(visible(f"{self.folder} stays: it holds {left[0]}") + "\n")
        else:
            gone.rmdir()
        gone.parent.rmdir()

    def _put(self, name: str, save: Callable[[Path], object]) -> None:
        put(self.folder / name, save)


def _is_left_behind(path: Path) -> bool:
    """Say whether this is left from work that was killed at its start: a lock, or a half-written file."""
    plain = path.is_file() and not path.is_symlink()
    empty = path.name == LOCK and plain and path.stat().st_size == 0
    return empty or (plain and path.name.startswith(ASIDE) and OURS.fullmatch(path.name) is not None)


def put(path: Path, save: Callable[[Path], object]) -> None:
    """Let `save` write a file elsewhere, and move it into place when it is complete."""
    aside = path.with_name(f"{ASIDE}{secrets.token_hex(4)}")
    try:
        save(aside)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def room(folder: Path | None) -> dict[str, float]:
    """Return the bytes that results may take in memory, and on the disk if a folder is written.

    Results are gathered, ordered and written, and are on the disk twice: as parts, and complete.
    """
    places = {"in memory": host_bytes() / 3}
    if folder is not None:
        there = next(place for place in (folder, *folder.resolve().parents) if place.exists())
        places["on the disk"] = shutil.disk_usage(there).free / 2
    return places


def conditions() -> dict[str, Any]:
    """Return the conditions that may change between processes and affect the last digits of results."""
    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib")}
    versions = {"fpo-jax": fpo_jax.__version__} | versions
    return {"devices": jax.device_count(), "device": jax.devices()[0].device_kind} | versions


@contextmanager
def on_a_full_disk(out: Path, hint: str = "what is done is saved: continue with --resume") -> Iterator[None]:
    """Turn a disk error into one line that says how to continue."""
    try:
        yield
    except OSError as error:
        allowed = f"on a disk with room ({error.strerror or error}); {hint}"
        raise InputError("out", out, allowed) from error
