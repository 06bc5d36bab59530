"""Differentiators on a cubic, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import Autodiff, CentralDifference, ForwardDifference

CASES = [
    (Autodiff(), 27.0),
    (ForwardDifference(difference_step=0.1), 27.91),
    (CentralDifference(difference_step=0.1), 27.01),
]


@pytest.mark.parametrize(("differentiator", "expected"), CASES)
def test_the_slope_of_a_cubic(differentiator, expected):
    # x³ + 2y at x = 3: 3x² = 27; forward, 3x² + 3xh + h²; central, 3x² + h²; for h = 0.1
    point = {"x": jnp.array([3.0]), "y": jnp.array([1.0, -1.0])}
    gradient = differentiator.gradient(lambda at: jnp.sum(at["x"] ** 3) + 2.0 * jnp.sum(at["y"]), point)
    np.testing.assert_allclose(gradient["x"], [expected], rtol=1e-12)
    np.testing.assert_allclose(gradient["y"], [2.0, 2.0], rtol=1e-12)
