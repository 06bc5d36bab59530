"""The gradient follower: its step by hand, its calibrated weight, and when it has a limit."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.flatten_util import ravel_pytree

from fpo_jax import BestResponse, Exact, Gradient, Labels, Preferences, Relaxed, Responses, RewardModel
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.linear import Linear
from fpo_jax.expect import follower_loss, training_data
from tests.helpers import at_random


def test_a_limit_that_is_not_reached_is_not_a_number(key):
    # steps of lr > 2/κ diverge; where r is not affine in φ one Newton step ends at no stationary point
    game = Bandit(ordinary=5, planted=2).draw(key)
    theta, here = jax.random.normal(key, (7,)), RewardModel(jnp.array([0.3, -0.7]))

    def limit(rm_lr, game=game, theta=theta, here=here, alpha=0.3):
        follower = Gradient(rm_lr=rm_lr, weight_decay=1e-3, alpha=alpha)
        return ravel_pytree(follower.limit(game, theta, here, key).phi)[0]

    hessian = jax.hessian(lambda p: follower_loss(game, p, training_data(game, theta, 0.3, key)))(here.phi)
    fastest = 2.0 / float(np.linalg.eigvalsh(hessian)[-1])
    assert np.all(np.isfinite(limit(0.9 * fastest)))
    assert np.all(np.isnan(limit(1.1 * fastest)))
    bent = Bent(dimension=1, signal_dimension=1)
    theta, here = jnp.array([0.3]), RewardModel(jnp.array([0.1]))
    newton = BestResponse(ridge=0.05).update(bent, theta, RewardModel(here.phi, jnp.zeros(1)), key).phi
    assert np.all(np.isfinite(newton))  # a step that ends nowhere
    assert np.all(np.isnan(limit(0.01, bent, theta, here, alpha=1.0)))


@struct.dataclass
class Bent(Linear):
    def reward(self, phi, y):
        return jnp.sum(4.0 * jnp.sin(phi) * y)


def test_the_calibrated_weight_counts_only_on_policy_data(key):
    # With offline data as well, φ⁺·y = φ·y − lr (1 − α) g·y − 2 lr α (r − U) ‖y‖², g the offline gradient.
    class WithOffline(Linear):
        def offline(self):
            return Responses(jnp.ones((1, self.dimension)), jnp.ones(1))

    alpha, lr = 0.3, 0.005
    follower = Gradient(rm_lr=lr, alpha=alpha)
    game, y, model = at_random(struct.dataclass(WithOffline)(dimension=6), follower, key)
    exact = jax.grad(lambda t: Exact().value(game, follower, t, model, key))(y)
    penalty = Relaxed(weight=follower.calibrated_weight(1))
    relaxed = jax.grad(lambda t: penalty.value(game, follower, t, model, key))(y)
    offline_gradient = jax.grad(follower_loss, argnums=1)(game, model.phi, game.offline())
    np.testing.assert_allclose(exact, relaxed - lr * (1 - alpha) * offline_gradient, rtol=1e-12)


def test_the_gradient_follower_by_hand_on_labels_and_on_preferences(key):
    # labels: ∇L = Σ μ 2 (φ·g − U) g. Preferences: ∇L = Σ μ_ij (σ(φ·(g_i − g_j)) − p*_ij) (g_i − g_j), with
    # p* = σ((U_i − U_j) / 0.25), of offline pairs at weight 0.7 and of the policy's at 0.3. Three steps each.
    game, theta, _ = at_random(Bandit(ordinary=3, planted=1), Gradient(), key)
    g, u = np.asarray(game.arms.features), np.asarray(game.arms.quality)
    offline, policy = np.asarray(game.offline().w), np.asarray(jax.nn.softmax(theta))
    start, lr, decay = np.array([0.5, -1.0]), 0.1, 0.02
    gap, wish = g[:, None] - g[None], 1 / (1 + np.exp(-(u[:, None] - u[None]) / 0.25))
    mu, pairs = (0.7 * f(offline) + 0.3 * f(policy) for f in (lambda w: w, lambda w: np.outer(w, w)))
    slopes = {
        "labels": lambda phi: 2 * (mu * (g @ phi - u)) @ g,
        "preferences": lambda phi: np.einsum("ij,ijf->f", pairs * (1 / (1 + np.exp(-gap @ phi)) - wish), gap),
    }
    for feedback in (Labels(), Preferences()):
        follower = Gradient(rm_lr=lr, weight_decay=decay, alpha=0.3, rm_steps=3, feedback=feedback)
        phi = start
        for _ in range(3):
            phi = (1 - decay) * phi - lr * slopes[type(feedback).__name__.lower()](phi)
        found = follower.update(game, theta, RewardModel(jnp.array(start)), key).phi
        np.testing.assert_allclose(found, phi, rtol=1e-12)
