"""The square root whose derivative at 0 is 0."""

import jax
import jax.numpy as jnp
import numpy as np

from fpo_jax.numerics.square_root import square_root


def test_the_root_and_its_derivative():
    x = jnp.array([4.0, 0.0, -1.0, jnp.nan])
    np.testing.assert_array_equal(square_root(x), [2.0, 0.0, np.nan, np.nan])
    np.testing.assert_array_equal(jax.vmap(jax.grad(square_root))(x[:2]), [0.25, 0.0])  # ½ / √4
