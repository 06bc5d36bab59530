"""Files with one JSON object a line, as prompts and answers come."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fpo_jax.errors import InputError


class JsonLine(NamedTuple):
    """One line that is not empty.

    Attributes:
        number: of the line, from 1.
        where: the file and the number, for complaints.
        fields: what stands there; empty where it is JSON, and no object.
    """

    number: int
    where: str
    fields: dict[str, Any]


def json_lines(path: Path, what: str) -> Iterator[JsonLine]:
    r"""Yield the lines of a file, one by one, but those that are empty.

    A line ends with \n or \r\n. Other separators, such as U+2028, may stand within a JSON text as they are.
    A byte-order mark at the start does no harm.

    Args:
        path: the file, in UTF-8.
        what: the option that named it, for complaints.

    Raises:
        InputError: when the file cannot be read, or names the first line that is no JSON.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputError(what, path, f"a file that can be read ({reason})") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            shown = line.strip() if len(line.strip()) <= 60 else f"{line.strip()[:59]}…"
            raise InputError(what, where, f"one JSON object, and it is {shown}") from error
        yield JsonLine(number, where, found if isinstance(found, dict) else {})
