"""JSON from files and replies of others: limited in size and depth, with errors of one line.

Files travel between people, so their content is not trusted. Refusing a text here avoids failures later: deep
nesting would cause a RecursionError, half a surrogate pair an encoding error, and NaN an unreadable document.
"""

import errno
import io
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from fpo_jax.errors import InputError, shortened

MOST_BYTES = 2**26
"""Bytes of a document, and of a line in a file of lines."""
DEEPEST = 64
"""Maximum levels of nested objects and lists."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class NotJson(ValueError):
    """A text is not JSON, or exceeds a limit; says why in a few words."""


class JsonLine(NamedTuple):
    """One line that is not empty.

    Attributes:
        number: of the line, from 1.
        where: the file and the number, for error messages.
        fields: the object in it; empty for other JSON.
    """

    number: int
    where: str
    fields: dict[str, Any]


def parsed(text: str | bytes) -> Any:
    """Return the value of a JSON text, of at most `DEEPEST` levels.

    Raises:
        NotJson: says why.
    """
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        found = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except UnicodeDecodeError:
        raise NotJson("it is not UTF-8") from None
    except RecursionError:
        raise NotJson(f"it has more than {DEEPEST} levels") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg}, character {error.pos + 1}") from None
    except ValueError as error:  # a refused constant, or a number with thousands of digits
        raise NotJson(str(error).splitlines()[0]) from None
    if not _is_shallow(found):
        raise NotJson(f"it has more than {DEEPEST} levels")
    if _SURROGATE.search(text):
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise NotJson("it has half a surrogate pair, which is not a character") from None
    return found


def open_plain(path: Path) -> io.BufferedReader:
    """Open a file for reading, but not a pipe, which could block, or a device, which may never end.

    Raises:
        OSError: when it cannot be read, or is not a plain file.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    return file


def document(path: Path, most: int = MOST_BYTES) -> Any:
    """Return the value of a file with one JSON text of at most this many bytes.

    Raises:
        NotJson: says why.
        OSError: the file cannot be read.
    """
    with open_plain(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise NotJson(f"it has more than {most} bytes")
    return parsed(content)


def raw_lines(path: Path, most: int = MOST_BYTES) -> Iterator[tuple[int, bytes]]:
    r"""Yield the number, from 1, and the bytes of each line of a file that is not blank.

    A line ends with \n or \r\n. Of a longer line `most` + 1 bytes are yielded, and the rest is skipped.

    Raises:
        OSError: the file cannot be read.
    """
    with open_plain(path) as file:
        number = 0
        while line := file.readline(most + 1):
            number += 1
            if line.strip():
                yield number, line  # before reading the rest, which may never end, as in /dev/zero
            while not line.endswith(b"\n") and (line := file.readline(most)):
                pass


def json_lines(path: Path, what: str) -> Iterator[JsonLine]:
    r"""Yield the lines of a file, one by one, except blank ones.

    A line ends with \n or \r\n. Other separators, such as U+2028, may occur within a JSON text.
    A byte-order mark at the start does no harm.

    Args:
        path: the file, in UTF-8.
        what: the option that named it, for complaints.

    Raises:
        InputError: when the file cannot be read, or with the first line that is not JSON.
    """
    try:
        for number, line in raw_lines(path):
            where = f"{path}, line {number}"
            try:
                if len(line) > MOST_BYTES:
                    raise NotJson(f"it has more than {MOST_BYTES} bytes")
                found = parsed(line)
            except NotJson as error:
                shown = line[:200].decode(errors="replace").strip()
                shown = shown if len(shown) <= 60 else f"{shown[:59]}…"
                raise InputError(what, where, f"one JSON object, but it is {shown} ({error})") from None
            yield JsonLine(number, where, found if isinstance(found, dict) else {})
    except OSError as error:
        raise InputError(what, path, f"a file that can be read ({error.strerror})") from error


def _refuse(constant: str) -> NoReturn:
    raise NotJson(f"{constant} is not a number in JSON")


def _finite(written: str) -> float:
    number = float(written)
    if math.isinf(number):
        raise NotJson(f"{shortened(written, 20)} is too large a number")
    return number


def _is_shallow(found: Any) -> bool:
    """Say whether a value has at most `DEEPEST` levels, by checking level after level."""
    level = [found]
    for _ in range(DEEPEST + 1):
        level = [value for value in level if isinstance(value, dict | list)]
        if not level:
            return True
        level = [inner for value in level for inner in (value.values() if isinstance(value, dict) else value)]
    return False
