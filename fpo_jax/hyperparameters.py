"""Hyperparameters that know their meaning, their range, and how to complain.

A hyperparameter is declared once, as a field of a `flax.struct.dataclass`. Its declaration serves the
documentation, the command line and the check of its value. Real-valued ones are leaves of the pytree, so
that changing them compiles nothing; counts, choices and flags are static. All of them are given by name.

A user's own environment, follower or objective declares its fields in the same way:

>>> from flax import struct
>>> @struct.dataclass
... class Mine:
...     strength: float = real(0.5, "how strongly it pulls", low=0.0)
>>> validate(Mine(strength=-1.0))
Traceback (most recent call last):
    ...
fpo_jax.errors.InputError: strength = -1.0: must be a finite number >= 0
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import struct

from fpo_jax.errors import InputError
from fpo_jax.internals import is_tracer


def real(
    default: float, help: str, *, low: float = -math.inf, high: float = math.inf, open: bool = False
) -> Any:
    """Declare a real-valued hyperparameter in [low, high], or in (low, high] if `open`: a traced leaf."""
    return _declared(default, kind=float, help=help, low=low, high=high, open=open)


def count(default: int, help: str, *, low: int = 1) -> Any:
    """Declare an integer >= low, such as a number of steps or a size: static, since shapes depend on it."""
    return _declared(default, kind=int, help=help, low=low)


def choice(default: str, help: str, options: tuple[str, ...]) -> Any:
    """Declare a choice between names: static."""
    return _declared(default, kind=str, help=help, options=options)


def text(default: str, help: str, *, read: Callable[[str], str] | None = None) -> Any:
    """Declare free text, which its owner's `check` reads: static.

    `read`, if given, turns what a user writes into that text, such as the name of a file into what it holds.
    """
    return _declared(default, kind=str, help=help, **({} if read is None else {"read": read}))


def flag(default: bool, help: str) -> Any:
    """Declare a yes-or-no choice: static."""
    return _declared(default, kind=bool, help=help)


def part(default: Any) -> Any:
    """Declare what has hyperparameters of its own, such as a follower's feedback."""
    return struct.field(default=default, kw_only=True)


def _declared(default: Any, *, kind: type, **metadata: Any) -> Any:
    """Return a field that is given by name only, since no order of hyperparameters can be guessed."""
    return struct.field(
        pytree_node=kind is float, default=default, kw_only=True, metadata={"kind": kind, **metadata}
    )


def declared(owner: Any) -> list[dataclasses.Field]:
    """List the fields of a dataclass (or of an instance) that were declared by this module."""
    return [f for f in dataclasses.fields(owner) if "kind" in f.metadata]


def allowed_values(field: dataclasses.Field) -> str:
    """Say in words which values a declared field accepts."""
    meta = field.metadata
    if meta["kind"] is float:
        low, high = meta["low"], meta["high"]
        if math.isinf(low) and math.isinf(high):
            return "a finite number"
        bound = f"> {low:g}" if meta["open"] else f">= {low:g}"
        return f"a finite number {bound}" + ("" if math.isinf(high) else f" and <= {high:g}")
    if meta["kind"] is int:
        return f"an integer >= {meta['low']}"
    if meta["kind"] is bool:
        return "true or false"
    return "one of " + ", ".join(meta["options"]) if "options" in meta else "text"


def _accepts(field: dataclasses.Field, value: Any) -> bool:
    meta = field.metadata
    if meta["kind"] is float:
        if isinstance(value, bool) or np.asarray(value).dtype.kind not in "iuf":
            return False
        values = np.asarray(value, dtype=float)
        above = values > meta["low"] if meta["open"] else values >= meta["low"]
        return bool(np.all(np.isfinite(values) & above & (values <= meta["high"])))
    if meta["kind"] is int:
        return isinstance(value, int) and not isinstance(value, bool) and value >= meta["low"]
    if meta["kind"] is bool:
        return isinstance(value, bool)
    return value in meta["options"] if "options" in meta else isinstance(value, str)


def validate(owner: Any) -> None:
    """Check every declared hyperparameter of a dataclass instance against its range.

    An owner that has a method `check` is then asked to check what concerns several of them at once.
    Traced values are passed over, so that `validate` may stand in functions that are themselves jitted,
    vmapped or differentiated.

    Raises:
        InputError: names the first field whose value is not allowed.
    """
    if any(leaf is owner for leaf in jax.tree.leaves(owner)):
        raise InputError("class", type(owner).__name__, "a pytree: decorate it with flax.struct.dataclass")
    for field in declared(owner):
        value = getattr(owner, field.name)
        if not is_tracer(value) and not _accepts(field, value):
            raise InputError(field.name, value, allowed_values(field))
    traced = any(map(is_tracer, jax.tree.leaves(owner)))
    if not traced and hasattr(owner, "check"):
        owner.check()


def kebab(name: str) -> str:
    """Spell a class name as it is typed on the command line: BestResponse -> best-response."""
    return "".join("-" + c.lower() if c.isupper() and i else c.lower() for i, c in enumerate(name))


def catalogue(*classes: type) -> dict[str, type]:
    """Index classes by the name under which a user asks for them."""
    return {kebab(cls.__name__): cls for cls in classes}
