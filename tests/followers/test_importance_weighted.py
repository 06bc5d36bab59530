"""Offline data weighted as the policy would have drawn them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import BestResponse, Leader, Myopic, Preferences, run_seed
from fpo_jax.envs.bandit import Arm, Bandit, BanditGame
from fpo_jax.envs.linear import Linear
from fpo_jax.followers import ImportanceWeighted
from fpo_jax.steering import norm, steering
from tests.helpers import at_random, parts_and_difference, relative_error, require_named

ARMS = Bandit(ordinary=5, planted=2)
TWO = BanditGame(Arm(jnp.ones((2, 1)), jnp.array([0.2, 0.8]), jnp.zeros(2)), 0.0)
"""Two arms that the reward model cannot tell apart, both in the offline data, half and half."""


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_standard_plus_steering_is_the_gradient_of_F(alpha, key):
    follower = ImportanceWeighted(ridge=0.1, alpha=alpha, clip=1.3)
    game, theta, model = at_random(ARMS, follower, key)

    parts, difference = parts_and_difference(game, follower, theta, model, key)
    assert norm(parts.steering) > 1e-3
    assert relative_error(parts.gradient, difference) < 1e-6
    assert follower.residual(game, theta, model, key) < 1e-12


def test_without_new_labels_the_policy_steers_by_the_weights_alone():
    # r = φ at either arm, so that φ⁺ = E_w[U] / (1 + λ) with w = π where no ratio is clipped: F = φ⁺, whose
    # ∂J/∂θ = 0, and steering = Σ_i U_i ∂π_i/∂θ_j / (1 + λ) = π_j (U_j − E_π[U]) / (1 + λ).
    follower, key = ImportanceWeighted(ridge=0.25, alpha=0.0, clip=10.0), jax.random.key(0)
    theta, u = jnp.array([0.3, -0.2]), np.array([0.2, 0.8])
    model = follower.init(TWO, theta, jnp.zeros(1), key)
    parts = steering(TWO, follower, theta, model, key)
    pi = np.asarray(jax.nn.softmax(theta))
    np.testing.assert_allclose(parts.steering, pi * (u - pi @ u) / 1.25, rtol=1e-12)
    np.testing.assert_allclose(parts.standard, 0.0, atol=1e-15)
    # a best response to the same data does not move
    plain = steering(TWO, BestResponse(ridge=0.25, alpha=0.0), theta, model, key)
    np.testing.assert_array_equal(plain.steering, 0.0)
    # clipped at 1: w ∝ min(π, ½), so that at θ = (1, 0) arm 0 weighs ½ / (½ + π_1)
    clipped = ImportanceWeighted(ridge=0.25, alpha=0.0, clip=1.0)
    first = 0.5 / (0.5 + 1 / (1 + np.e))
    found = clipped.update(TWO, jnp.array([1.0, 0.0]), model, key).phi
    np.testing.assert_allclose(found, (first * 0.2 + (1 - first) * 0.8) / 1.25, rtol=1e-12)


@pytest.mark.parametrize("clip", [1.0, 50.0])
def test_where_the_policy_is_that_of_the_offline_data_weights_change_nothing(clip, key):
    # equal logits on the ordinary arms and none on the planted ones: π = μ, every ratio is 1
    game = ARMS.draw(key)
    theta = jnp.where(game.arms.planted == 1, -1e4, 0.0)
    plain, ours = (
        of(ridge=0.1, alpha=0.3, **more).init(game, theta, jnp.zeros(2), key).phi
        for of, more in ((BestResponse, {}), (ImportanceWeighted, {"clip": clip}))
    )
    np.testing.assert_allclose(ours, plain, rtol=1e-14)


def test_a_policy_that_has_left_the_offline_data_leaves_them_their_weights(key):
    game = ARMS.draw(key)
    theta = jnp.where(game.arms.planted == 1, 0.0, -1e4)
    plain, ours = (
        of(ridge=0.1, alpha=0.3).init(game, theta, jnp.zeros(2), key).phi
        for of in (BestResponse, ImportanceWeighted)
    )
    np.testing.assert_allclose(ours, plain, rtol=1e-14)


def test_pairs_weigh_as_the_policy_pairs_them(contextual_state, key):
    # π(y) π(y') / (μ(y) μ(y')) of a pair; what the offline data do not show stays at weight 0
    game, theta, model = contextual_state
    follower = ImportanceWeighted(ridge=0.1, alpha=0.0, clip=1e9, feedback=Preferences())
    items = follower.training(game, theta, model, key).items
    offline, fresh = (
        np.asarray(sample.w)
        for sample in (
            follower.feedback.offline(game, key),
            follower.feedback.gather(game, theta, game.respond(theta, key), key),
        )
    )
    expected = np.where(offline > 0, fresh, 0.0)
    assert 0 < np.sum(offline > 0) < offline.size
    np.testing.assert_allclose(items.w[: offline.size], expected / expected.sum(), rtol=1e-12)


def test_it_needs_one_set_of_responses(key):
    leader = Leader(Myopic(), policy_lr=0.02)
    require_named(
        "follower = importance-weighted: must be another one: this policy gives no weights",
        lambda: run_seed(Linear(dimension=3), leader, ImportanceWeighted(), key, steps=1),
    )
