"""Random keys by the purpose they serve."""

import zlib

import jax

from fpo_jax.types import Key


def named_key(key: Key, purpose: str) -> Key:
    """Derive the key of one named purpose, so that adding a purpose changes no other's random numbers."""
    return jax.random.fold_in(key, zlib.crc32(purpose.encode()))
