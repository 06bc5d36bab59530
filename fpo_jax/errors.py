"""Input that cannot be used: one line that names the field, the value and what is allowed."""

import difflib
from collections.abc import Collection, Iterable

import jax
import numpy as np

LONGEST = 500
"""Maximum characters of a field or value in a message."""


class InputError(ValueError):
    """A value that cannot be used: one line that names the field, the value and what is allowed (ours)."""

    def __init__(self, field: str, value: object, allowed: str):
        self.field, self.value, self.allowed = field, value, allowed
        most = 80 if isinstance(value, np.ndarray | jax.Array) else LONGEST
        parts = shortened(str(field), LONGEST), shortened(str(value), most), shortened(allowed, 4 * LONGEST)
        super().__init__(visible("{} = {}: must be {}".format(*parts)))


class NotDefined(InputError):
    """A method that an environment does not define, whatever its hyperparameters."""


def shortened(text: str, most: int = 300) -> str:
    """Return text as one line of at most this many characters."""
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most and len(text) <= 4 * most else f"{line[: most - 1]}…"


def visible(text: str) -> str:
    """Return text that is safe on a terminal: characters that cannot be printed are escaped as in Python.

    Bytes of a file name that are not text stay as they are, for the stream that shows them.
    """
    return "".join(
        one if one.isprintable() or "\udc80" <= one <= "\udcff" else one.encode("unicode_escape").decode()
        for one in text
    )


def require_known(field: str, name: str, known: Collection[str]) -> str:
    """Return `name` if it is known; otherwise raise an InputError that suggests the nearest known name."""
    if name in known:
        return name
    between = "; " if any("," in each for each in known) else ", "
    raise InputError(field, name, f"one of {between.join(known)}{suggestion(name, known)}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return " (nearest: …)" with the most similar known name, or "" if none is similar."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f" (nearest: {near[0]})" if near else ""
