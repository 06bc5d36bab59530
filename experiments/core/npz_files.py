"""Archives of arrays from others: no pickles, and no array larger than its archive says."""

import math
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from fpo_jax.engine.memory import host_bytes
from fpo_jax.errors import shortened
from fpo_jax.experiments.core.json_files import open_plain

SHARE = 3
"""An archive may take one part in this many of the free memory."""


class Damaged(Exception):
    """A file is damaged; says why in a few words."""


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an archive.

    The claimed size of an array is checked against the archive's directory, and that against the free memory,
    before anything is allocated.

    Raises:
        Damaged: when it cannot be read, is not an archive of arrays, or is too large; says why.
    """
    try:
        with open_plain(path) as file:
            _check(file)
            file.seek(0)
            with np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
    except Exception as error:  # zipfile, zlib and numpy each raise their own errors
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Damaged(shortened(str(reason))) from error


def _check(file: BinaryIO) -> None:
    most = host_bytes() / SHARE
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if (size := sum(member.file_size for member in members)) > most:
            raise ValueError(f"it holds {size / 1e9:.3g} GB, and {most / 1e9:.3g} GB can be used")
        for member in members:
            with archive.open(member) as stream:
                major, _ = npy.read_magic(stream)
                read = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
                shape, _, dtype = read(stream)
            # an array of items of size 0 can claim any number of them
            size = math.prod(shape) * max(dtype.itemsize, 1)
            if dtype.hasobject or size > member.file_size:
                raise ValueError(f"{member.filename} claims more than it holds")
