"""Lanes: runs side by side, batched by vmap and divided among devices."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from fpo_jax.types import Key

LANES = "lanes"
"""Name of the axis of lanes, which is divided among devices."""

Result = TypeVar("Result")


def in_lanes(f: Callable[[Any, Any], Result], devices: Sequence[jax.Device]) -> Callable[[Any, Any], Result]:
    """Return f(shared, ·) over a leading axis of lanes: vmapped, and divided evenly among the devices.

    The number of devices must divide the number of lanes.
    """
    batched = jax.vmap(f, in_axes=(None, 0))
    if len(devices) == 1:
        return batched
    mesh, along = Mesh(devices, LANES), PartitionSpec(LANES)
    # the check for values that vary between devices does not see through every loop inside a run
    return jax.shard_map(
        batched, mesh=mesh, in_specs=(PartitionSpec(), along), out_specs=along, check_vma=False
    )


def padded(keys: Key, devices: Sequence[jax.Device]) -> Key:
    """Return the keys, padded with the first one until the number of devices divides their number."""
    missing = -len(keys) % len(devices)
    return jnp.concatenate([keys, jnp.broadcast_to(keys[:1], (missing, *keys.shape[1:]))])


def along_lanes(devices: Sequence[jax.Device]) -> NamedSharding:
    """Return the sharding of an array whose leading axis of lanes is divided among the devices."""
    return NamedSharding(Mesh(devices, LANES), PartitionSpec(LANES))


def placed(shapes: PyTree, devices: Sequence[jax.Device]) -> PyTree:
    """Return shapes of arrays whose leading axis of lanes is divided among the devices."""
    if len(devices) == 1:
        return shapes
    along = along_lanes(devices)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=along), shapes)


def first_lane(tree: PyTree) -> PyTree:
    """Return the first lane of a pytree, on its own."""
    return jax.tree.map(lambda leaf: leaf[0], tree)
