"""A square root that can be differentiated where its argument is 0."""

import jax.numpy as jnp

from fpo_jax.types import Scalar


def square_root(x: Scalar) -> Scalar:
    """Return √x with derivative 0 at x = 0, where it has none; NaN below, as of what is NaN."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), jnp.where(x < 0, jnp.nan, 0.0 * x))
