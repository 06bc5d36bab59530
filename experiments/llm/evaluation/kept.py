"""Pieces of an evaluation in files, until it is finished or for later ones."""

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fpo_jax.experiments.core.parts import Arrays, file_of, make_folder, part
from fpo_jax.experiments.core.progress import Progress, Tell


class Piece(NamedTuple):
    """The measurements of one model, or of the base model's candidates.

    Attributes:
        label: shown while it is computed.
        kind: first word of the name of its file; a digest of `asked` follows.
        asked: everything that its arrays depend on, as JSON.
        compute: returns the arrays, and reports progress.
    """

    label: str
    kind: str
    asked: Mapping[str, Any]
    compute: Callable[[Tell], Arrays]

    def file(self, folder: Path) -> Path:
        """Return its file."""
        return file_of(folder, self.kind, digest(self.asked))


def all_of(pieces: Sequence[Piece], folder: Path | None, command: str, precision: str) -> list[Arrays]:
    """Return the arrays of all pieces: read those that the folder keeps, compute and keep the others.

    Args:
        pieces: in the order of their computation.
        folder: an existing one; None keeps nothing.
        command: of the evaluation, to be named in the files.
        precision: of the computation, to be named in the files.
    """
    there = [folder is not None and piece.file(folder).exists() for piece in pieces]
    with Progress(jobs=max(there.count(False), 1)) as progress:

        def computed(piece: Piece) -> Arrays:
            progress.begin(piece.label)
            arrays = piece.compute(progress.tell)
            progress.end()
            return arrays

        if folder is None:
            return [computed(piece) for piece in pieces]
        return [
            part(piece.file(folder), piece.asked, partial(computed, piece), command, precision).arrays
            for piece in pieces
        ]


def remove(pieces: Sequence[Piece], folder: Path) -> None:
    """Remove the files of these pieces; say so if others stay."""
    for piece in pieces:
        piece.file(folder).unlink(missing_ok=True)
    if any(folder.glob("*.npz")):
        sys.stderr.write(f"{folder} still keeps parts of other evaluations\n")


@contextlib.contextmanager
def made(folder: Path | None) -> Iterator[None]:
    """Make a folder for parts; at the end remove it if it is empty.

    Raises:
        InputError: when it cannot be written.
    """
    if folder is not None:
        make_folder(folder)
    try:
        yield
    finally:
        if folder is not None:
            with contextlib.suppress(OSError):  # files are in it
                folder.rmdir()


def digest(contents: Any) -> str:
    """Return the beginning of the SHA-256 of bytes, or of anything else as JSON."""
    told = contents if isinstance(contents, bytes) else json.dumps(contents).encode()
    return hashlib.sha256(told).hexdigest()[:16]
