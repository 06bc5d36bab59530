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


def test_a_convex_root_is_reached_to_the_last_digit_from_next_to_it():
    # the slope at the start, 1e-14, is below the tolerance of 2.2e-14; the root is 1e-11 away
    found = jax.jit(lambda start: convex(lambda p: 1e-3 * (p - 1.0), start))(jnp.full(2, 1.0 + 1e-11))
    np.testing.assert_allclose(found, 1.0, rtol=1e-15)


def test_a_convex_root_is_found_where_rounding_lets_no_step_lessen_the_slope():
    # noise of up to 1e-14 in a slope of 1e-3 hides where between 1 - 1e-11 and 1 + 1e-11 the root is, and
    # makes steps of that size, 500 times the tolerance, as likely to raise the slope as to lessen it
    def slope(p):
        return 1e-3 * (p - 1.0) + 1e-14 * jax.lax.stop_gradient(jnp.cos(1e20 * p))

    starts = 1.0 + jnp.linspace(1.0, 2.0, 50)[:, None]
    found = jax.jit(jax.vmap(lambda p: convex(slope, p)))(starts)
    np.testing.assert_allclose(found, 1.0, rtol=3e-11)
