"""Checks of a steering term: central differences, and what is off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import BestResponse, Decomposition, Gradient, InputError, Myopic
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.linear import Linear
from fpo_jax.steering import steering
from fpo_jax.testing.checks import central_difference, check_decomposition, check_game


def test_central_difference_of_a_polynomial():
    # d/dx of x³ at 2 is 12, and the error of the scheme is h² exactly: 12 + 1e-4 for h = 1e-2.
    slope = central_difference(lambda x: jnp.sum(x["a"] ** 3), {"a": jnp.array([2.0])}, step=1e-2)
    np.testing.assert_allclose(slope["a"], [12.0 + 1e-4], rtol=1e-11)


def by_hand(game, follower, theta, reward_model, key):
    """The bandit's steering term, derived by hand: a worked example of `check_decomposition`.

    With r = φ·f, weights w = softmax(θ) and L = E_μ[(φ·f − U)²] + λ‖φ‖², the gradient of the loss moves by
    ∂²L/∂φ∂w_i = 2α (φ·f_i − U_i) f_i, and J by ∂J/∂φ = Σ w_i f_i = ḡ. Hence with A = ½ ∂²L/∂φ²

        steering_j = Σ_i ∂w_i/∂θ_j s_i,   s_i = −α (φ·f_i − U_i) f_iᵀ A⁻¹ ḡ,   ∂w_i/∂θ_j = w_i (δ_ij − w_j).
    """
    f, u, w = game.arms.features, game.arms.quality, jax.nn.softmax(theta)
    ordinary = (1.0 - game.arms.planted) / jnp.sum(1.0 - game.arms.planted)
    mu = (1.0 - follower.alpha) * ordinary + follower.alpha * w
    a = (f.T * mu[None]) @ f + follower.ridge * jnp.eye(2)
    phi = jnp.linalg.solve(a, f.T @ (mu * u))
    s = -follower.alpha * (f @ phi - u) * (f @ jnp.linalg.solve(a, f.T @ w))
    kl = jnp.log(w) + jnp.log(float(w.size))
    r = f @ phi - game.temperature * kl

    def centred(x):
        return w * (x - jnp.sum(w * x))

    return Decomposition(standard=centred(r), steering=centred(s))


FOLLOWER = BestResponse(ridge=0.1, alpha=0.3)


def test_a_steering_term_by_hand_passes_the_check():
    check_decomposition(Bandit(), FOLLOWER, by_hand)


def test_a_wrong_steering_term_is_told_where_it_is_off_and_by_how_much():
    def wrong(*arguments):
        parts = by_hand(*arguments)
        return parts._replace(steering=parts.steering.at[5].add(0.25))

    with pytest.raises(
        InputError, match=r"steering\[5\] = .*: must be .*, the exact steering part \(off by 0.25;"
    ):
        check_decomposition(Bandit(), FOLLOWER, wrong)


def test_an_approximation_is_checked_to_its_own_tolerance():
    def myopic(game, follower, theta, reward_model, key):
        return Myopic().estimate(game, follower, theta, reward_model, key).gradient

    with pytest.raises(InputError, match=r"dF/dθ\[\d+\] = .*: must be .*, the exact gradient \(off by"):
        check_decomposition(Bandit(), FOLLOWER, myopic)
    check_decomposition(Bandit(), FOLLOWER, myopic, tolerance=10.0)
    with pytest.raises(InputError, match=r"dF/dθ = of shape \(\): must be of shape \(24,\), as θ"):
        check_decomposition(Bandit(), FOLLOWER, lambda *_: jnp.zeros(()))


def test_a_steering_part_alone_is_told_from_a_wrong_gradient():
    def steered(*arguments):
        return by_hand(*arguments).steering

    with pytest.raises(InputError, match="but this is its steering part: return a Decomposition"):
        check_decomposition(Bandit(), FOLLOWER, steered)


def test_a_term_that_drops_the_present_reward_model_is_wrong_where_it_begins_at_zero():
    # The bandit begins at φ = 0. One step φ⁺ = (1 − d) φ − η ∇L keeps (1 − d) φ, which the wrong one drops.
    follower = Gradient(rm_lr=0.05, alpha=0.4, weight_decay=0.1)

    def without(game, follower, theta, reward_model, key):
        return steering(game, follower, theta, reward_model._replace(phi=0.0 * reward_model.phi), key)

    check_decomposition(Bandit(), follower, steering)
    with pytest.raises(InputError, match="exact standard part"):
        check_decomposition(Bandit(), follower, without)


def test_an_environment_that_is_a_class_is_refused():
    with pytest.raises(InputError, match=r"environment = Bandit: must be an instance: Bandit\(\)"):
        check_decomposition(Bandit, FOLLOWER, by_hand)


def test_checks_compute_in_double_precision_whatever_is_the_default():
    with jax.enable_x64(False):
        check_game(Linear(dimension=4))
        check_decomposition(Bandit(), FOLLOWER, by_hand)

        def single(*arguments):
            return jax.tree.map(lambda part: part.astype(jnp.float32), by_hand(*arguments))

        with pytest.raises(InputError, match="it is computed in float32, whose digits do not go that far"):
            check_decomposition(Bandit(), FOLLOWER, single, tolerance=1e-9)
