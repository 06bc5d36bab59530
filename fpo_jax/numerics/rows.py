"""Pytrees whose leaves share a leading axis of rows."""

import jax
import jax.numpy as jnp
from jaxtyping import PyTree


def pushed(kept: PyTree, new: PyTree) -> PyTree:
    """Return the kept rows after new ones have replaced as many of the oldest; the newest come last.

    Args:
        kept: [rows, ...] each.
        new: [few, ...] each, at most as many as are kept.
    """
    return jax.tree.map(lambda old, now: jnp.concatenate([old[now.shape[0] :], now]), kept, new)


def one_row(tree: PyTree) -> PyTree:
    """Return a pytree as a single row."""
    return jax.tree.map(lambda leaf: leaf[None], tree)
