"""A square root that is differentiable at 0."""

import jax.numpy as jnp

from fpo_jax.types import Scalar


def square_root(x: Scalar) -> Scalar:
    """Return √x, with derivative 0 at x = 0, where √ has none; NaN for negative x and for NaN."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), jnp.where(x < 0, jnp.nan, 0.0 * x))
