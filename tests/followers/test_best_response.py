"""Best responses: stationary, anchored, on labels and on preferences."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.flatten_util import ravel_pytree
from scipy.special import expit

from fpo_jax import BestResponse, Gradient, Preferences, RewardModel
from fpo_jax.envs.bandit import Bandit, BanditGame
from fpo_jax.expect import follower_loss, training_data
from fpo_jax.followers import Converged
from tests.helpers import at, at_random, pairs_by_hand


def test_a_response_that_did_not_converge_is_not_a_number(key):
    game, _, theta, model = at("neural bandit", key)
    follower = Converged(ridge=0.05, alpha=0.3, most_steps=1, gradient_norm=1e-300)
    assert np.all(np.isnan(ravel_pytree(follower.update(game, theta, model, key).phi)[0]))


def test_descent_to_a_stationary_point_is_the_best_response_where_there_is_a_formula(key):
    game, theta, model = at_random(Bandit(), Gradient(), key)
    model = model._replace(memory=jax.tree.map(jnp.zeros_like, model.phi))
    found = Converged(ridge=0.1, alpha=0.3).update(game, theta, model, key)
    expected = BestResponse(ridge=0.1, alpha=0.3).update(game, theta, model, key)
    np.testing.assert_allclose(found.phi, expected.phi, rtol=1e-8)
    # one arm alone says nothing of two parameters: a valley, in which no point is the minimum
    alone = Bandit(ordinary=1, planted=1).draw(key)
    flat = Converged(ridge=0.0, alpha=0.0).update(alone, jnp.zeros(2), model, key)
    assert np.all(np.isnan(flat.phi))
    # at a minimum whose slope is not below what was asked for, there is no number
    strict = Converged(ridge=0.1, alpha=0.3, gradient_norm=1e-300).update(game, theta, model, key)
    assert np.all(np.isnan(strict.phi))


@struct.dataclass
class Folded(BanditGame):
    """Rewards Σ φ_i² g_i, whose squared error has a stationary point at φ = 0, a maximum where U, g > 0."""

    def reward(self, phi, y):
        """Return Σ φ_i² g_i."""
        return jnp.sum(phi**2 * y.features)


def test_descent_that_starts_on_a_maximum_is_not_a_number(key):
    arms = Bandit(ordinary=3, planted=1).draw(key).arms
    game, follower = Folded(arms, 0.02), Converged(ridge=0.0, alpha=0.3)
    start = RewardModel(jnp.zeros(2), memory=jnp.zeros(2))
    assert np.all(np.isnan(follower.update(game, jnp.zeros(4), start, key).phi))
    inside = RewardModel(jnp.full(2, 0.5), memory=jnp.zeros(2))
    assert np.all(np.isfinite(follower.update(game, jnp.zeros(4), inside, key).phi))


def test_best_response_is_stationary_and_minimises_the_loss(key):
    follower = BestResponse(ridge=0.1, alpha=0.3)
    game, theta, model = at_random(Bandit(), follower, key)
    assert follower.residual(game, theta, model, key) < 1e-12
    data = training_data(game, theta, follower.alpha, key)

    def loss(phi):
        return follower_loss(game, phi, data) + 0.1 * phi @ phi

    for shift in jnp.eye(2) * 1e-3:
        assert loss(model.phi + shift) > loss(model.phi) < loss(model.phi - shift)


def test_anchored_best_response_tends_to_its_anchor_as_the_ridge_grows(key):
    anchor = jnp.array([0.7, -0.4])
    game, theta, _ = at_random(Bandit(), Gradient(), key)
    strong = BestResponse(ridge=1e8, anchored=True).init(game, theta, anchor, key)
    np.testing.assert_allclose(strong.phi, anchor, atol=1e-6)  # pull of the data is O(1/ridge)
    free = BestResponse(ridge=1e8).init(game, theta, anchor, key)
    np.testing.assert_allclose(free.phi, 0.0, atol=1e-6)


def test_an_anchor_outlives_updates(key):
    # φ⁺ = argmin E[(φ·g − U)²] + λ‖φ − φ₀‖²: (Σ μ g gᵀ + λ) φ⁺ = Σ μ U g + λ φ₀, with φ₀ and not the last φ.
    follower, anchor = BestResponse(ridge=0.3, alpha=0.4, anchored=True), jnp.array([0.7, -0.4])
    game, theta, _ = at_random(Bandit(ordinary=4, planted=2), Gradient(), key)

    @jax.jit
    def thrice(theta):
        models = [follower.init(game, theta, anchor, key)]
        for shift in (1.0, -1.0):
            models.append(follower.update(game, theta + shift * theta, models[-1], key))
        return [model.phi for model in models]

    g, u = np.asarray(game.arms.features), np.asarray(game.arms.quality)
    for found, logits in zip(thrice(theta), (theta, 2 * theta, 0 * theta), strict=True):
        mu = 0.6 * np.asarray(game.offline().w) + 0.4 * np.asarray(jax.nn.softmax(logits))
        normal = (g.T * mu) @ g + 0.3 * np.eye(2)
        np.testing.assert_allclose(found, np.linalg.solve(normal, g.T @ (mu * u) + 0.3 * anchor), rtol=1e-12)


def test_the_best_response_is_stationary_on_preferences(contextual_state, key):
    # Σ μ (σ(m) − p*) (ψ − ψ') + 2 λ φ = 0, the offline pairs weighing 1 − α and the policy's α.
    game, theta, _ = contextual_state
    follower = BestResponse(ridge=0.05, alpha=0.3, feedback=Preferences())
    phi = np.asarray(jax.jit(follower.init)(game, theta, jnp.zeros(3), key).phi)
    data = training_data(game, theta, 0.3, key, follower.feedback)
    np.testing.assert_allclose(np.sum(data.w), 1.0, rtol=1e-12)
    difference = np.asarray(data.y.y.features - data.y.other.features)
    slope = (data.w * (expit(difference @ phi) - data.y.preferred)) @ difference + 2 * 0.05 * phi
    np.testing.assert_allclose(slope, 0.0, atol=1e-12)
    assert np.linalg.norm(phi) > 0.1
    w, psi, other, p = pairs_by_hand(game, theta, "policy")  # what stands after the 2 · 9 offline pairs
    np.testing.assert_allclose(data.w[-18:], 0.3 * w, rtol=1e-12)
    np.testing.assert_allclose(data.y.preferred[-18:], p, rtol=1e-12)
    np.testing.assert_allclose(difference[-18:], psi - other, rtol=1e-12)
