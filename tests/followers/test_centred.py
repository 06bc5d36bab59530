"""A best response that pays for rewards away from 0."""

import jax
import jax.numpy as jnp
import numpy as np

from fpo_jax import BestResponse, Preferences
from fpo_jax.envs.bandit import Bandit
from fpo_jax.followers import Centred
from fpo_jax.steering import norm
from tests.helpers import at_random, pairs_by_hand, parts_and_difference, relative_error

ARMS = Bandit(ordinary=5, planted=2)


def test_standard_plus_steering_is_the_gradient_of_F(key):
    follower = Centred(ridge=0.1, alpha=0.3, centring=0.4)
    game, theta, model = at_random(ARMS, follower, key)

    parts, difference = parts_and_difference(game, follower, theta, model, key)
    assert norm(parts.steering) > 1e-3
    assert relative_error(parts.gradient, difference) < 1e-6
    assert follower.residual(game, theta, model, key) < 1e-12


def test_on_labels_the_fit_is_that_of_larger_second_moments(key):
    # 2 ((1 + c) Σ μ g gᵀ + λ) φ = 2 Σ μ U g
    game, theta, model = at_random(ARMS, Centred(ridge=0.1, alpha=0.3, centring=0.4), key)
    g, u = np.asarray(game.arms.features), np.asarray(game.arms.quality)
    mu = 0.7 * np.asarray(game.offline().w) + 0.3 * np.asarray(jax.nn.softmax(theta))
    left = 1.4 * (g.T * mu) @ g + 0.1 * np.eye(2)
    np.testing.assert_allclose(model.phi, np.linalg.solve(left, g.T @ (mu * u)), rtol=1e-11)


def test_on_preferences_the_sum_of_both_rewards_is_paid_for(contextual_state, key):
    game, theta, model = contextual_state
    phi = jnp.array([0.3, -0.7, 0.2])
    model = model._replace(memory=jnp.zeros(3))
    losses = [
        of(ridge=0.1, alpha=1.0, feedback=Preferences(), **more).loss(game, theta, model, key)(phi)
        for of, more in ((Centred, {"centring": 0.4}), (BestResponse, {}))
    ]
    weight, first, second, _ = pairs_by_hand(game, theta, "policy")
    added = 0.4 * weight @ ((first + second) @ np.asarray(phi)) ** 2
    np.testing.assert_allclose(losses[0] - losses[1], added, rtol=1e-12)


def test_without_a_price_it_is_the_plain_best_response(key):
    plain, ours = (
        at_random(ARMS, of(ridge=0.1, alpha=0.3, **more), key)[2].phi
        for of, more in ((BestResponse, {}), (Centred, {"centring": 0.0}))
    )
    np.testing.assert_array_equal(ours, plain)
