"""Loops whose length is known when they are traced."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import PyTree

from fpo_jax.numerics.common_subexpressions import eliminate


def scan(
    body: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: PyTree = None, length: int | None = None
) -> tuple[Any, Any]:
    """Return `jax.lax.scan`, with what the body computes twice computed once.

    A single row is the body itself: a loop would only hide it from the compiler.
    """
    rows = length if xs is None else len(jax.tree.leaves(xs)[0])
    if rows != 1:
        return jax.lax.scan(eliminate(body), carry, xs, length=length)
    carry, result = body(carry, jax.tree.map(lambda leaf: leaf[0], xs))
    return carry, jax.tree.map(lambda leaf: leaf[None], result)
