"""Derivatives of what is computed, whatever was detached within it."""

import jax
import jax.numpy as jnp
import numpy as np

from fpo_jax.numerics.small_systems import solve_dominant
from fpo_jax.numerics.undetached import undetached

stop = jax.lax.stop_gradient


def derivatives(function, x):
    return [float(jax.jvp(f, (x,), (1.0,))[1]) for f in (function, undetached(function))]


def test_what_a_gradient_detaches_is_differentiated():
    # f(x) = d/dt [t · stop(t²)] at t = x is x²: as traced its derivative is 0, in truth 2x
    def f(x):
        return jax.grad(lambda t: t * stop(t**2))(x)

    assert derivatives(f, 2.0) == [0.0, 4.0]


def test_loops_conditions_and_jitted_functions_are_looked_into():
    # twice c ↦ c · stop(c): x⁴, whose derivative at 2 is 32
    def looped(x):
        return jax.lax.scan(lambda c, _: (c * stop(c), None), x, None, length=2)[0]

    def branched(x):
        return jax.lax.cond(x > 0, lambda x: x * stop(x), lambda x: x, x)

    assert derivatives(looped, 2.0)[1] == 32.0
    assert derivatives(jax.jit(branched), 3.0) == [3.0, 6.0]


def test_what_only_serves_a_solve_stays_detached():
    # x of (1 + a) x = 1 is 1/(1 + a), with derivative −1/(1 + a)²
    def f(a):
        return solve_dominant(jnp.eye(3) * (1.0 + a), jnp.ones(3))[0]

    np.testing.assert_allclose(derivatives(f, 1.0), [-0.25, -0.25], rtol=1e-14)
