"""Expectations over weighted responses, and mixtures of them."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpo_jax import InputError, Responses
from fpo_jax.expect import expect, mix


@settings(max_examples=50, deadline=None)
@given(alpha=st.floats(0, 1), values=st.lists(st.floats(-5, 5), min_size=5, max_size=5))
def test_expectation_under_a_mixture_is_the_mixture_of_expectations(alpha, values):
    y = jnp.array(values)
    a, b = Responses(y[:2], jnp.array([0.25, 0.75])), Responses(y[2:], jnp.array([0.5, 0.3, 0.2]))
    mixed = mix(a, b, alpha)
    np.testing.assert_allclose(jnp.sum(mixed.w), 1.0, rtol=1e-14)
    expected = (1 - alpha) * expect(jnp.sin, a) + alpha * expect(jnp.sin, b)
    np.testing.assert_allclose(expect(jnp.sin, mixed), expected, atol=1e-14)


def test_expect_refuses_disagreeing_shapes():
    with pytest.raises(InputError, match=r"responses.y\['a'\] = array of shape \(2,\)"):
        expect(lambda y: y["a"], Responses({"a": np.zeros(2)}, np.full(3, 1 / 3)))
