"""Hyperparameters that carry their meaning, their range and their error message.

A hyperparameter is declared once, as a field of a `flax.struct.dataclass`. The documentation, the command
line and the check of its value all use this declaration. Real-valued hyperparameters are leaves of the
pytree, so changing them compiles nothing. Counts, choices and flags are static. All are keyword-only.

A user's own environment, follower or objective declares its fields in the same way:

Examples:
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
from collections.abc import Callable, Collection
from typing import Any

import jax
import numpy as np
from flax import struct

from fpo_jax.errors import InputError, suggestion
from fpo_jax.internals import is_tracer

LARGEST = 2**31 - 1
"""The largest count, since counters have 32 bits."""
REQUIRED: Any = dataclasses.MISSING
"""Used in place of a default: the value must be given. With a default of None it is optional."""


def real(
    default: float | None,
    help: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open: bool = False,
    options: Collection[str] = (),
) -> Any:
    """Declare a real-valued hyperparameter in [low, high], or in (low, high] if `open`: a traced leaf.

    `options` are words that may stand in place of a number.
    """
    return _declared(default, kind=float, help=help, low=low, high=high, open=open, options=options)


def count(
    default: int | None, help: str, *, low: int = 1, high: float = math.inf, options: Collection[str] = ()
) -> Any:
    """Declare an integer in [low, high], such as a number of steps; static, because shapes depend on it.

    `options` are words that may stand in place of a number.
    """
    return _declared(default, kind=int, help=help, low=low, high=high, options=options)


def choice(default: str | None, help: str, options: Collection[str]) -> Any:
    """Declare a choice between names: static."""
    return _declared(default, kind=str, help=help, options=options)


def text(
    default: str | None, help: str, *, read: Callable[[str], str] | None = None, naming: str | None = None
) -> Any:
    """Declare free text, which the owner's `check` validates: static.

    `read`, if given, turns the user's input into the text, for example a file name into the file's content.
    `naming` says what the text names, such as "a folder"; then it must not be empty.
    """
    return _declared(default, kind=str, help=help, read=read, naming=naming)


def several(default: tuple[str, ...], help: str, options: Collection[str] = ()) -> Any:
    """Declare a list of texts or of these options: static. It may be empty only if the default is."""
    return _declared(default, kind=tuple, help=help, options=options)


def flag(default: bool, help: str) -> Any:
    """Declare a yes-or-no choice: static."""
    return _declared(default, kind=bool, help=help)


def part(default: Any) -> Any:
    """Declare a part with its own hyperparameters, such as a follower's feedback."""
    return struct.field(default=default, kw_only=True)


def _declared(default: Any, *, kind: type, **metadata: Any) -> Any:
    """Return a keyword-only field, because hyperparameters have no natural order."""
    metadata = {"kind": kind, "options": (), **metadata}
    return struct.field(pytree_node=kind is float, default=default, kw_only=True, metadata=metadata)


def declared(owner: Any) -> list[dataclasses.Field]:
    """List the fields of a dataclass (or of an instance) that this module declared."""
    return [f for f in dataclasses.fields(owner) if "kind" in f.metadata]


def allowed_values(field: dataclasses.Field) -> str:
    """Say in words which values a declared field accepts."""
    meta = field.metadata
    kind, options = meta["kind"], ", ".join(meta["options"])
    if kind is bool:
        return "true or false"
    if kind is str:
        return f"one of {options}" if options else meta.get("naming") or "text"
    if kind is tuple:
        return f"a list of one or more of {options}" if options else "a list of text"
    low, high = meta["low"], meta["high"]
    bounds = [f"{'>' if meta.get('open') else '>='} {_shown(low)}"] if math.isfinite(low) else []
    bounds += [f"<= {_shown(high)}"] if math.isfinite(high) else []
    words = ["a finite number" if kind is float else "an integer", " and ".join(bounds)]
    return " ".join(filter(None, words)) + (f", or {options}" if options else "")


def _shown(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _accepts(field: dataclasses.Field, value: Any) -> bool:
    meta = field.metadata
    kind, options = meta["kind"], meta["options"]
    if value is None:
        return field.default is None
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is tuple:
        return isinstance(value, tuple) and not _strange(field, value) and bool(value or not field.default)
    if isinstance(value, str):
        return value in options if options else kind is str and bool(value or not meta.get("naming"))
    if kind is int:
        high = meta["high"] if math.isfinite(meta["high"]) else LARGEST
        return isinstance(value, int) and meta["low"] <= value <= high
    if kind is str or isinstance(value, list | tuple | dict) or np.asarray(value).dtype.kind not in "iuf":
        return False
    values = np.asarray(value, dtype=float)
    above = values > meta["low"] if meta["open"] else values >= meta["low"]
    return bool(np.all(np.isfinite(values) & above & (values <= meta["high"])))


def _strange(field: dataclasses.Field, value: Any) -> list[Any]:
    """Return the entries of a list that are not text or not among its options."""
    options = field.metadata["options"]
    return [one for one in value if not isinstance(one, str) or (options and one not in options)]


def require(name: str, value: Any, field: dataclasses.Field) -> None:
    """Raise an InputError unless a field allows the value; it suggests the nearest allowed name."""
    if _accepts(field, value):
        return
    if isinstance(value, tuple):
        value = next(iter(_strange(field, value)), value)
    near = suggestion(value, field.metadata["options"]) if isinstance(value, str) else ""
    shown = "nothing" if isinstance(value, str | tuple) and not value else value
    is_large = isinstance(value, int) and value > LARGEST and math.isinf(field.metadata.get("high", 0))
    allowed = f"{allowed_values(field)} and <= {LARGEST}" if is_large else allowed_values(field)
    raise InputError(name, shown, allowed + near)


def require_allowed(owner: Any) -> None:
    """Check every declared field of a dataclass instance against its range.

    Then call the owner's method `check`, if it has one, which checks fields against each other. Traced values
    are skipped.

    Raises:
        InputError: names the first field whose value is not allowed.
    """
    for field in declared(owner):
        value = getattr(owner, field.name)
        if not is_tracer(value):
            require(field.name, value, field)
    traced = any(map(is_tracer, jax.tree.leaves(owner)))
    if not traced and hasattr(owner, "check"):
        owner.check()


def validate(owner: Any) -> None:
    """Check every declared hyperparameter of an instance against its range, as `require_allowed` does.

    Traced values are skipped, so `validate` works inside jitted, vmapped and differentiated functions. For
    that, the owner must be a pytree.

    Raises:
        InputError: names the first field whose value is not allowed, or a class that is not a pytree.
    """
    if any(leaf is owner for leaf in jax.tree.leaves(owner)):
        raise InputError("class", type(owner).__name__, "a pytree: decorate it with flax.struct.dataclass")
    require_allowed(owner)


def kebab(name: str) -> str:
    """Return a class name as users type it on the command line: BestResponse -> best-response."""
    return "".join("-" + c.lower() if c.isupper() and i else c.lower() for i, c in enumerate(name))


def catalogue(*classes: type) -> dict[str, type]:
    """Index classes by the names that users type."""
    return {kebab(cls.__name__): cls for cls in classes}
