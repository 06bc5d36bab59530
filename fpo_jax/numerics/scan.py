"""Loops whose length is known when they are traced."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from fpo_jax.numerics.common_subexpressions import eliminate
from fpo_jax.numerics.rows import one_row


def scan(
    body: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: PyTree = None, length: int | None = None
) -> tuple[Any, Any]:
    """Return `jax.lax.scan` of the body after common subexpression elimination.

    For a single row it calls the body itself, since a loop would only hide it from the compiler.
    """
    rows = length if xs is None else len(jax.tree.leaves(xs)[0])
    if rows != 1:
        return jax.lax.scan(eliminate(body), carry, xs, length=length)
    carry, result = body(carry, jax.tree.map(lambda leaf: leaf[0], xs))
    return carry, one_row(result)


def trajectory(
    step: Callable[[PyTree, Array], PyTree],
    entry: Callable[[PyTree, Array], PyTree],
    state: PyTree,
    first: Array | int,
    entries: int,
    every: int,
) -> tuple[PyTree, PyTree]:
    """Return the state after `every · entries` steps, and `entries + 1` entries, the first before any step.

    `step(state, t)` and `entry(state, t)` get the number t of the next step, counted from `first`.
    The entry occurs in the program once, since compiling takes longer than most runs. So the row of the last
    entry also has steps. Several steps are skipped by a condition. A single one is computed and not used,
    since without a condition it shares values with the entry.
    """
    last = first + every * entries

    def one(state: PyTree, t: Array) -> tuple[PyTree, None]:
        return step(state, t), None

    def steps(state: PyTree, t: Array) -> PyTree:
        return scan(one, state, t + jnp.arange(every))[0]

    def row(states: tuple[PyTree, PyTree], t: Array) -> tuple[tuple[PyTree, PyTree], PyTree]:
        _, state = states
        if every == 1:
            after = steps(state, t)
        else:
            after = jax.lax.cond(t < last, steps, lambda state, _: state, state, t)
        return (state, after), entry(state, t)

    (before, _), found = scan(row, (state, state), first + every * jnp.arange(entries + 1))
    return before, found
