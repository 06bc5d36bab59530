"""The linear environment as described."""

import jax
import numpy as np

from fpo_jax.envs.linear import Linear


def test_linear_starts_as_described(key):
    theta, phi = jax.vmap(Linear().init)(jax.random.split(key, 2000))
    assert np.all(theta == 0.0)
    expected = np.where(np.arange(50) < 3, 1.0, 0.0)
    noise = np.asarray(phi) - expected
    assert np.all(np.abs(noise.mean(axis=0)) < 5 * 0.1 / np.sqrt(2000))
    assert abs(noise.std() - 0.1) < 5 * 0.1 / np.sqrt(2 * noise.size)  # standard error of a deviation
