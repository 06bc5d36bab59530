"""Loops over rows, and over lanes that stand side by side on all devices."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, PyTree

LANES = "lanes"
"""Name of the axis along which runs stand side by side, and which is divided among devices."""


def scan_rows(body: Callable[[Any, Any], tuple[Any, Any]], carry: Any, rows: PyTree) -> tuple[Any, Any]:
    """Return `jax.lax.scan`, with every row read where it lies, flat.

    With seeds in front, scan itself would first bring the rows there; and XLA would compute random numbers
    within that transposition, or in the shape of a short row, one at a time rather than eight.
    """
    number = jax.tree.leaves(rows)[0].shape[0]
    flat = jax.tree.map(lambda leaf: leaf.reshape(number, -1), rows)

    def at(carry: Any, i: Array) -> tuple[Any, Any]:
        return body(carry, jax.tree.map(lambda leaf, like: leaf[i].reshape(like.shape[1:]), flat, rows))

    return jax.lax.scan(at, carry, jnp.arange(number))


def chunk_length(number: int) -> int:
    """Return how many iterations share one drawing of random numbers: the largest divisor up to 16."""
    return max(length for length in range(1, 17) if number % length == 0)


def in_rows(length: int, tree: PyTree) -> PyTree:
    """Return every leaf [n, …] as [n / length, length, …]."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, length, *leaf.shape[1:]), tree)


def spread(f: Callable[[Any, Any], Any], devices: Sequence[jax.Device]) -> Callable[[Any, Any], Any]:
    """Return f(shared, ·) over a leading axis of lanes: vmapped, and divided evenly among the devices.

    Their number must divide that of the lanes.
    """
    batch = jax.vmap(f, in_axes=(None, 0))
    if len(devices) == 1:
        return batch
    mesh, along = Mesh(devices, LANES), PartitionSpec(LANES)
    # the check of what varies between devices does not see through every loop inside a run
    return jax.shard_map(
        batch, mesh=mesh, in_specs=(PartitionSpec(), along), out_specs=along, check_vma=False
    )
