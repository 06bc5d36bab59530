"""Roots: reached to the last digits, differentiated by the implicit function theorem, or not a number."""

import jax
import jax.numpy as jnp
import numpy as np

from fpo_jax.numerics.roots import bracketed, convex, polished


def test_a_root_between_two_ends_and_its_derivative():
    # x³ + x = a has its root at 2 for a = 10; by the implicit function theorem dx/da = 1/(3x² + 1) = 1/13
    def root(a):
        ends = {"lower": jnp.array(-10.0), "upper": jnp.array(10.0)}
        return bracketed(lambda x, a: x**3 + x - a, jnp.array(0.0), a, ends)

    found, slope = jax.jit(jax.value_and_grad(root))(10.0)
    np.testing.assert_allclose((found, slope), (2.0, 1 / 13), rtol=1e-13)


def test_the_root_of_a_convex_slope_or_not_a_number():
    # p + e^p = c, coordinate by coordinate: the slope of Σ p²/2 + e^p − c p
    expected = np.array([0.0, 1.0, -3.0])
    centre = jnp.asarray(expected + np.exp(expected))
    found = jax.jit(lambda c: convex(lambda p: p + jnp.exp(p) - c, jnp.zeros(3)))(centre)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    nearly = jax.jit(lambda c: polished(lambda p: p + jnp.exp(p) - c, expected + 0.1, 1e-14))(centre)
    np.testing.assert_allclose(nearly, expected, atol=1e-12)
    # e^p > 0 has no root
    assert np.all(np.isnan(jax.jit(lambda: convex(jnp.exp, jnp.zeros(2)))()))
