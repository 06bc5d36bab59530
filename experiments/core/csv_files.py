"""CSV files of users: read whole, and refused in one line."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.json_files import open_plain

MOST_BYTES = 2**28
"""Size of the largest readable table; verdicts on a million answers take less."""


def read_table(path: Path, columns: Sequence[str], what: str) -> list[dict[str, str]]:
    """Read a CSV file whose first line names its columns.

    Args:
        path: the file, in UTF-8.
        columns: the required columns.
        what: the option that named it, for error messages.

    Raises:
        InputError: when it cannot be read, is empty or larger than `MOST_BYTES`, lacks a column or has one
            twice, or has a row of another length.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES / 1e6:.0f} MB")
        with io.TextIOWrapper(open_plain(path), encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            names, rows = list(reader.fieldnames or ()), list(reader)
    except UnicodeDecodeError:
        raise InputError(what, path, "a CSV file in UTF-8") from None
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(what, path, f"a CSV file that can be read ({reason})") from error
    if missing := [name for name in columns if name not in names]:
        noun = "a column" if len(missing) == 1 else "columns"
        allowed = f"a CSV file with {noun} {', '.join(missing)}, but it has {', '.join(names) or 'nothing'}"
        raise InputError(what, path, allowed)
    if twice := sorted({name for name in columns if names.count(name) > 1}):
        raise InputError(what, path, f"a CSV file with one column of each name, but it has two {twice[0]}")
    if not rows:
        raise InputError(what, path, "a CSV file with one row or more under the names of its columns")
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise InputError(what, f"{path}, row {number}", f"{len(names)} fields, as its first line")
    return rows
