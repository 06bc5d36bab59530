"""Numbers that a user gives, held to their ranges."""

import math
from typing import Any

from fpo_jax.errors import InputError


def require_number(name: str, value: Any, low: float, high: float = math.inf, whole: bool = False) -> None:
    """Raise an InputError unless a value is a finite number, or an integer if `whole`, in [low, high]."""
    right = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not right or not math.isfinite(value) or not low <= value <= high:
        kind = "an integer" if whole else "a finite number"
        lower = "" if math.isinf(low) else f" >= {_shown(low)}"
        upper = "" if math.isinf(high) else f" and <= {_shown(high)}"
        raise InputError(name, value, f"{kind}{lower}{upper}")


def _shown(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"
