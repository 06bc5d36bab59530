"""Random keys by the purpose they serve."""

import math
import zlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fpo_jax.types import Key


def named_key(key: Key, purpose: str) -> Key:
    """Derive the key of one named purpose, so that adding a purpose changes no other's random numbers."""
    return jax.random.fold_in(key, _number(purpose))


def named_keys(keys: Key, purposes: Sequence[str]) -> Key:
    """Return `named_key` of each key, [n], for its purpose: one derivation rather than n to compile."""
    return jax.vmap(jax.random.fold_in)(keys, jnp.array([_number(p) for p in purposes], jnp.uint32))


def _number(purpose: str) -> int:
    return zlib.crc32(purpose.encode())


def normal(key: Key, shape: tuple[int, ...]) -> Array:
    """Return N(0, 1) numbers: those of `jax.random.normal`, drawn as one row and then given their shape.

    XLA turns the random bits of a matrix with short rows into code that takes four times as long, to compile
    and to run.
    """
    return jax.lax.optimization_barrier(jax.random.normal(key, (math.prod(shape),))).reshape(shape)
