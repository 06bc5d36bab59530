"""Loops over rows, and over lanes that stand side by side on all devices."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, PyTree

from fpo_jax.engine.sharing import sharing

LANES = "lanes"
"""Name of the axis along which runs stand side by side, and which is divided among devices."""


def scan_rows(body: Callable[[Any, Any], tuple[Any, Any]], carry: Any, rows: PyTree) -> tuple[Any, Any]:
    """Return `jax.lax.scan`, with every row read where it lies, flat, and what the body repeats shared.

    With seeds in front, scan itself would first bring the rows there; and XLA would compute random numbers
    within that transposition, or in the shape of a short row, one at a time rather than eight.
    """
    number = jax.tree.leaves(rows)[0].shape[0]
    flat = jax.tree.map(lambda leaf: leaf.reshape(number, -1), rows)

    def at(carry: Any, i: Array) -> tuple[Any, Any]:
        return body(carry, jax.tree.map(lambda leaf, like: leaf[i].reshape(like.shape[1:]), flat, rows))

    return jax.lax.scan(sharing(at), carry, jnp.arange(number))


def chunk_length(number: int, most: int = 16) -> int:
    """Return how many iterations share one drawing of random numbers: the largest divisor up to `most`."""
    return max(length for length in range(1, most + 1) if number % length == 0)


def in_rows(length: int, tree: PyTree) -> PyTree:
    """Return every leaf [n, …] as [n / length, length, …]."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, length, *leaf.shape[1:]), tree)


def apart(f: Callable[[Any], Any], lanes: PyTree) -> tuple[Any, Any]:
    """Return f over a leading axis of lanes: what is the same in all of them once, and what is not by lane.

    Both have the structure of a result, with None in the place of what stands in the other.
    """
    seen: list[Any] = []

    @jax.custom_batching.custom_vmap
    def look(result: Any) -> Any:
        return result

    @look.def_vmap
    def differs(number: int, batched: list[Any], result: Any) -> tuple[Any, Any]:
        seen.extend(batched)
        return result, batched[0]

    def one(lane: Any) -> Any:
        result = f(lane)
        look(jax.lax.stop_gradient(result))  # and not passed on, since it has no reverse derivative
        return result

    results = jax.vmap(one)(lanes)
    differ = seen[0] if seen else jax.tree.map(lambda leaf: False, results)
    return (
        jax.tree.map(lambda leaf, d: None if d else leaf[0], results, differ),
        jax.tree.map(lambda leaf, d: leaf if d else None, results, differ),
    )


def together(shared: PyTree, lane: PyTree) -> PyTree:
    """Put what `apart` set apart together again, for one lane."""
    return jax.tree.map(lambda s, own: own if s is None else s, shared, lane, is_leaf=lambda x: x is None)


def spread(f: Callable[[Any, Any], Any], devices: Sequence[jax.Device]) -> Callable[[Any, Any], Any]:
    """Return f(shared, ·) over a leading axis of lanes: vmapped, and divided evenly among the devices.

    Their number must divide that of the lanes.
    """
    return divided(jax.vmap(f, in_axes=(None, 0)), devices, by_lane=True)


def divided(
    batch: Callable[[Any, Any], Any], devices: Sequence[jax.Device], by_lane: PyTree
) -> Callable[[Any, Any], Any]:
    """Return batch(shared, lanes), with the lanes divided evenly among the devices.

    `by_lane` says, as a prefix of the result, what of it has a leading axis of lanes; the rest is the same
    everywhere.
    """
    if len(devices) == 1:
        return batch
    mesh, along = Mesh(devices, LANES), PartitionSpec(LANES)
    specs = jax.tree.map(lambda lanes: along if lanes else PartitionSpec(), by_lane)
    # the check of what varies between devices does not see through every loop inside a run
    return jax.shard_map(
        batch, mesh=mesh, in_specs=(PartitionSpec(), along), out_specs=specs, check_vma=False
    )
