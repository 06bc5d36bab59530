"""Checks of a steering term: central differences, and what is off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import BestResponse, Decomposition, InputError, Myopic
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.linear import Linear
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


def test_checks_compute_in_double_precision_whatever_is_the_default():
    with jax.enable_x64(False):
        check_game(Linear(dimension=4))
        check_decomposition(Bandit(), FOLLOWER, by_hand)

        def single(*arguments):
            return jax.tree.map(lambda part: part.astype(jnp.float32), by_hand(*arguments))

        with pytest.raises(InputError, match="it is computed in float32, whose digits do not go that far"):
            check_decomposition(Bandit(), FOLLOWER, single, tolerance=1e-9)
