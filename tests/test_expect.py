"""Expectations over weighted responses, and mixtures of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpo_jax import InputError, Responses
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.linear import Linear
from fpo_jax.expect import check_weights, expect, item_loss, mix, squared_norm, training_data
from fpo_jax.feedback import Comparison, Labels, Preferences


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


def test_the_squared_norm_is_a_sum_over_all_leaves():
    assert squared_norm({"a": jnp.array([3.0, 4.0]), "b": jnp.array([[2.0]])}) == 29.0  # 9 + 16 + 4


def test_training_data_is_offline_data_first_and_the_policys_share_is_alpha(key):
    game = Bandit(ordinary=3, planted=2).draw(key)
    theta = jnp.array([0.3, -0.2, 0.1, 0.5, 0.0])
    data = training_data(game, theta, 0.3, key)
    offline = np.array([1 / 3, 1 / 3, 1 / 3, 0.0, 0.0])  # uniform on the ordinary arms
    expected = np.concatenate([0.7 * offline, 0.3 * jax.nn.softmax(theta)])
    np.testing.assert_allclose(data.w, expected, rtol=1e-12)


def test_weights_sum_to_one_to_within_one_part_in_a_hundred_thousand():
    y = jnp.arange(2.0)
    check_weights(Responses(y, jnp.array([0.5, 0.5 + 0.8e-5])))
    for weights in ([0.5, 0.5 + 1.5e-5], [1.0 + 1e-3, -1e-3]):
        with pytest.raises(InputError, match=r"responses\.w"):
            check_weights(Responses(y, jnp.array(weights)))


def test_the_loss_on_a_response_is_its_squared_error(key):
    game = Bandit(ordinary=3, planted=2).draw(key)
    y, phi = jax.tree.map(lambda leaf: leaf[1], game.arms), jnp.array([0.5, -2.0])
    error = np.asarray(y.features) @ np.asarray(phi) - float(y.quality)
    np.testing.assert_allclose(item_loss(game, phi, y, Labels()), error**2, rtol=1e-12)


def test_the_loss_on_a_pair_carries_the_score_of_its_label(key):
    # −p* log σ(m) − (1 − p*) log σ(−m) at m = ⟨w, y − y'⟩ = 1 and p* = ¼, times a score of 3.
    pair = Comparison(jnp.array([2.0, 0.0]), jnp.array([1.0, 0.0]), jnp.array(0.25), jnp.array(3.0))
    found = item_loss(Linear(dimension=2), jnp.array([1.0, 5.0]), pair, Preferences())
    sigma = 1.0 / (1.0 + np.exp(-1.0))
    np.testing.assert_allclose(found, 3.0 * (-0.25 * np.log(sigma) - 0.75 * np.log(1.0 - sigma)), rtol=1e-12)
