"""Expectations over weighted responses, and mixtures of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpo_jax import BestResponse, Gradient, InputError, Leader, Myopic, Responses, run_seed
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.linear import Linear
from fpo_jax.expect import check_weights, expect, item_loss, mix, squared_norm, training_data
from fpo_jax.feedback import Comparison, Labels, Preferences
from fpo_jax.followers import Optax
from tests.helpers import CONTEXTUAL, SMALL, at_random, require_named


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


BUDGETS = {
    "labels": (SMALL["bandit"], Gradient(rm_lr=0.2, alpha=0.3, feedback=Labels(label_budget=4))),
    "preferences": (CONTEXTUAL, Gradient(rm_lr=0.2, alpha=0.3, feedback=Preferences(label_budget=4))),
    "buffer": (
        SMALL["bandit"],
        Optax(
            optimizer="sgd", rm_lr=0.2, alpha=0.3, draws=1, replay="fresh", feedback=Labels(label_budget=4)
        ),
    ),
}


@pytest.mark.parametrize("case", BUDGETS)
def test_what_is_annotated_under_a_budget_stands_for_all_of_it(case, key):
    # One step of descent is linear in the weights of its data: over keys, φ⁺ of four draws has the mean φ⁺ of
    # all items, and its derivative, which is the score's, the mean dφ⁺/dθ. Within 5 standard errors.
    environment, follower = BUDGETS[case]
    whole = follower.replace(feedback=follower.feedback.replace(label_budget=None))
    game, theta, model = at_random(environment, whole, key)
    models = {True: follower.init(game, theta, model.phi, key), False: model}
    direction = jax.random.normal(key, theta.shape)

    def update(player, k):
        own = models[player is follower]
        go = lambda t: player.update(game, t, own, k).phi  # noqa: E731
        return jnp.concatenate(jax.jvp(go, (theta,), (direction,)))

    keys = jax.random.split(key, 20_000)
    found, expected = jax.jit(lambda: (jax.vmap(lambda k: update(follower, k))(keys), update(whole, key)))()
    error = np.std(found, axis=0) / np.sqrt(len(keys))
    assert np.all(error > 0)
    assert np.max(np.abs(np.mean(found, axis=0) - expected) / error) < 5.0
    assert np.min(np.abs(expected) / error) > 10.0  # which is more than nothing


def test_as_many_items_are_annotated_as_are_paid_for(key):
    game, theta, _ = at_random(SMALL["bandit"], BestResponse(ridge=0.1, alpha=0.3), key)
    data = training_data(game, theta, 0.3, key, Labels(label_budget=5))
    assert data.w.shape == (7 + 5,)  # offline data are known already
    np.testing.assert_allclose(data.w[7:], 0.3 / 5, rtol=1e-14)
    other = training_data(game, theta, 0.3, jax.random.key(1), Labels(label_budget=5))
    assert not np.array_equal(data.y.features[7:], other.y.features[7:])


@pytest.mark.parametrize(
    ("environment", "budget", "said"),
    [
        (SMALL["bandit"], 0, "label_budget = 0: must be an integer >= 1"),
        (
            Linear(dimension=3),
            5,
            "label_budget = 5: must be omitted, because this environment has no table",
        ),
    ],
)
def test_a_budget_that_buys_nothing_is_refused(environment, budget, said, key):
    follower = Gradient(feedback=Labels(label_budget=budget))
    require_named(said, lambda: run_seed(environment, Leader(Myopic()), follower, key, steps=1))
