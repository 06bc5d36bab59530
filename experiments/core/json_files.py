"""JSON from files and replies of others: bounded in size and depth, and refused in one line.

Files travel between people, so nothing in one is taken on trust. A text that is refused here can end in no
traceback later: deep nesting in a RecursionError, half a surrogate pair in an error of encoding, NaN in a
document that nobody can read.
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
"""Levels of objects and lists in each other."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class NotJson(ValueError):
    """A text is no JSON, or more than is read; says why in a few words."""


class JsonLine(NamedTuple):
    """One line that is not empty.

    Attributes:
        number: of the line, from 1.
        where: the file and the number, for complaints.
        fields: the object in it; empty where it is other JSON.
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
    except ValueError as error:  # a constant that is refused, or a number with thousands of digits
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
    """Open a file to be read; no pipe, at which a reader would wait, and no device, which may have no end.

    Raises:
        OSError: it cannot be read, or is no plain file.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    return file


def document(path: Path, most: int = MOST_BYTES) -> Any:
    """Return the value of a file with one JSON text, of at most so many bytes.

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

    A line ends with \n or \r\n. Of a line that is longer, `most` + 1 bytes are yielded, and the rest is
    passed over.

    Raises:
        OSError: the file cannot be read.
    """
    with open_plain(path) as file:
        number = 0
        while line := file.readline(most + 1):
            number += 1
            if line.strip():
                yield number, line  # before the rest is read, which may have no end, as that of /dev/zero
            while not line.endswith(b"\n") and (line := file.readline(most)):
                pass


def json_lines(path: Path, what: str) -> Iterator[JsonLine]:
    r"""Yield the lines of a file, one by one, but those that are blank.

    A line ends with \n or \r\n. Other separators, such as U+2028, may stand within a JSON text as they are.
    A byte-order mark at the start does no harm.

    Args:
        path: the file, in UTF-8.
        what: the option that named it, for complaints.

    Raises:
        InputError: when the file cannot be read, or names the first line that is no JSON.
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
    """Say whether a value has at most `DEEPEST` levels, looking at one after the other."""
    level = [found]
    for _ in range(DEEPEST + 1):
        level = [value for value in level if isinstance(value, dict | list)]
        if not level:
            return True
        level = [inner for value in level for inner in (value.values() if isinstance(value, dict) else value)]
    return False
