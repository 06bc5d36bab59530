"""Random keys by purpose."""

import math
import zlib

import jax
from jaxtyping import Array

from fpo_jax.types import Key


def named_key(key: Key, purpose: str) -> Key:
    """Derive the key of one named purpose; adding a purpose then changes no other random numbers."""
    return jax.random.fold_in(key, _number(purpose))


def _number(purpose: str) -> int:
    return zlib.crc32(purpose.encode())


def normal(key: Key, shape: tuple[int, ...]) -> Array:
    """Return N(0, 1) numbers: those of `jax.random.normal`, drawn as one row and then reshaped.

    For the random bits of a matrix with short rows XLA makes code that takes four times as long to compile
    and to run.
    """
    return jax.lax.optimization_barrier(jax.random.normal(key, (math.prod(shape),))).reshape(shape)
