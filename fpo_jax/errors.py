"""Input that cannot be used: one line that names the field, the value and what is allowed."""

import difflib
from collections.abc import Collection, Iterable

import jax
import numpy as np


class InputError(ValueError):
    """A value that cannot be used: one line that names the field, the value and what is allowed (ours)."""

    def __init__(self, field: str, value: object, allowed: str):
        self.field, self.value, self.allowed = field, value, allowed
        shown = " ".join(str(value).split())
        if len(shown) > 80 and isinstance(value, np.ndarray | jax.Array):
            shown = f"{shown[:77]}…"
        super().__init__(f"{field} = {shown}: must be {allowed}")


def require_known(field: str, name: str, known: Collection[str]) -> str:
    """Return `name` if it is known; otherwise raise an InputError that suggests the nearest known name."""
    if name in known:
        return name
    raise InputError(field, name, f"one of {', '.join(known)}{suggestion(name, known)}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return " (nearest: …)" with the known name that is most like this one, or nothing where none is."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f" (nearest: {near[0]})" if near else ""
