"""The folder of an unfinished sweep: one file a chunk, each written aside and put in place by a rename.

A file's arrays carry checksums, so that a damaged one is noticed, and its chunk is computed again.
"""

import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from experiments.results import write_json
from experiments.settings import load
from fpo_jax.hyperparameters import InputError
from fpo_jax.sweep import Chunk, Lanes

DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class Unfinished:
    """What an unfinished sweep has done so far, in the folder NAME.partial beside its results NAME."""

    def __init__(self, out: Path):
        self.folder = out.with_name(f"{out.name}.partial")

    @property
    def exists(self) -> bool:
        """Say whether there is something to resume."""
        return (self.folder / "config.json").exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other sweep out of this folder.

        Raises:
            InputError: when another one is at work here, or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.folder / "lock", timeout=0):
                try:
                    yield
                finally:
                    if not self.exists:  # nothing was begun
                        shutil.rmtree(self.folder)
        except filelock.Timeout as error:
            raise InputError("out", self.folder, "free: another sweep is writing it") from error

    def begin(self, config: Mapping[str, Any]) -> None:
        """Write down what is being run."""
        self._put("config.json", lambda path: write_json(path, config))

    def config(self) -> dict[str, Any]:
        """Return what is being run."""
        return load(self.folder / "config.json")

    def write(self, chunk: Chunk, lanes: Lanes) -> None:
        """Write the results of one chunk, whole or not at all."""
        arrays = {"finite": lanes.finite, "optimum": lanes.optimum}
        arrays |= {f"metrics/{name}": values for name, values in lanes.metrics.items()}

        def save(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
                file.flush()
                os.fsync(file.fileno())

        self._put(_name(chunk), save)

    def read(self, chunk: Chunk) -> Lanes | None:
        """Return the results of one chunk, or None where there are none.

        Raises:
            Damaged: when they are not what was written.
        """
        path = self.folder / _name(chunk)
        if not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            lanes = Lanes(finite=arrays.pop("finite"), optimum=arrays.pop("optimum"), metrics={})
            if {len(values) for values in (*arrays.values(), *lanes[1:])} != {chunk.stop - chunk.start}:
                raise ValueError
        except DAMAGED as error:
            raise Damaged(path.name) from error
        metrics = {name.removeprefix("metrics/"): values for name, values in arrays.items()}
        return lanes._replace(metrics=metrics)

    def finish(self) -> None:
        """Forget what was done, since the results stand elsewhere: the folder vanishes with its lock."""
        (self.folder / "config.json").unlink()

    def _put(self, name: str, save: Any) -> None:
        handle, aside = tempfile.mkstemp(prefix=".", dir=self.folder)
        os.close(handle)
        try:
            save(Path(aside))
            os.replace(aside, self.folder / name)
        finally:
            Path(aside).unlink(missing_ok=True)


class Damaged(Exception):
    """A chunk's file is not what was written."""


def _name(chunk: Chunk) -> str:
    return f"{chunk.program}-{chunk.start}-{chunk.stop}.npz"
