"""The decomposition dF/dθ = standard + steering, and the identities of the theory that apply to it."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpo_jax import BestResponse, Gradient, Labels, Preferences, RewardModel
from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.envs.bandit import Arm, Bandit, BanditGame
from fpo_jax.envs.linear import Linear
from fpo_jax.envs.neural import Neural
from fpo_jax.expect import expect, follower_loss, leader_value
from fpo_jax.followers import Converged, Optax
from fpo_jax.steering import cosine, foresighted_value, norm, norm_ratio, sign_agreement, steering
from fpo_jax.testing.checks import central_difference
from tests.helpers import at_random, away_from_the_start, draw, relative_error

FOLLOWERS = {
    "gradient, 1 step": Gradient(rm_lr=0.005, weight_decay=1e-4),
    "gradient, 3 steps": Gradient(rm_lr=0.02, weight_decay=0.01, rm_steps=3),
    "optimiser": Optax(optimizer="sgd", rm_lr=0.02, draws=2, buffer_size=3, replay="fifo", rm_steps=2),
    "best response": BestResponse(ridge=0.1),
    "best response, anchored": BestResponse(ridge=0.3, anchored=True),
    "converged": Converged(ridge=0.3, anchored=True),
    "gradient, mixed data": Gradient(rm_lr=0.05, alpha=0.3),
    "best response, mixed data": BestResponse(ridge=0.1, alpha=0.3),
}
SMALL = {
    "neural": {"dimension": 3, "rm_hidden": "4", "responses": 2},
    "language": {"vocabulary": 6, "prompts": 1, "length": 2, "width": 4, "features": 4},
}
QUICK = {  # one of each kind of policy and of update; the other pairs are slow
    "bandit": [name for name in FOLLOWERS if name != "converged"],
    "linear": ["gradient, 1 step", "gradient, 3 steps", "best response", "best response, anchored"],
    "gridworld": ["gradient, 1 step", "gradient, 3 steps", "best response, mixed data"],
    "contextual": ["best response, mixed data"],
    "neural": ["gradient, 3 steps"],
}


@partial(jax.jit, static_argnames="horizon")
def three_ways(game, follower, key, horizon):
    """The total and the steering part, and the total again by automatic and by central differences."""
    theta, model = away_from_the_start(game, follower, key)

    def F(t):
        return foresighted_value(game, follower, t, model, key, horizon)

    parts = steering(game, follower, theta, model, key, horizon)
    return parts.gradient, parts.steering, jax.grad(F)(theta), central_difference(F, theta)


def pairs():
    """Every environment with every follower that it can have, and the longer horizons of two."""
    for name, follower in itertools.product(sorted(ENVIRONMENTS), FOLLOWERS):
        # a closed form asks for a reward affine in φ; a share of on-policy data for others to be mixed in
        if name == "neural" and follower.startswith("best response"):
            continue
        if name in ("linear", "neural") and follower.endswith("mixed data"):
            continue
        marks = () if follower in QUICK.get(name, ()) else pytest.mark.slow
        yield pytest.param(name, follower, 1, marks=marks)
    for name, follower in itertools.product(("bandit", "linear"), ("gradient, 3 steps", "best response")):
        yield pytest.param(name, follower, 3)


@pytest.mark.parametrize(("name", "follower", "horizon"), list(pairs()))
def test_standard_plus_steering_is_the_gradient_of_F(name, follower, horizon, key):
    game = draw(ENVIRONMENTS[name](**SMALL.get(name, {})), key)
    total, steering_part, autodiff, difference = three_ways(game, FOLLOWERS[follower], key, horizon)
    assert relative_error(total, autodiff) < 1e-12
    # what a search has found is right to 1e-9 or so, and a difference divides that by 2e-5
    assert relative_error(total, difference) < (1e-7 if follower != "converged" else 1e-4)
    assert norm(steering_part) > 1e-6  # else the equality would say nothing about steering


def test_best_response_to_on_policy_data_with_a_constant_feature_sees_the_true_policy_gradient(key):
    # Normal equations for a feature that is 1 everywhere: E_π[r_φ*] = E_π[U] for every policy, so
    # F = E_π[U] − cost as functions, and dF/dθ is the true policy gradient.
    keys = jax.random.split(key, 4)
    features = jnp.concatenate([jax.random.normal(keys[0], (9, 3)), jnp.ones((9, 1))], axis=1)
    quality = jax.random.uniform(keys[1], (9,))
    game = BanditGame(Arm(features, quality, jnp.zeros(9)), temperature=0.02)
    theta = jax.random.normal(keys[2], (9,))
    follower = BestResponse(ridge=0.0, alpha=1.0)
    model = follower.init(game, theta, jnp.zeros(4), key)

    def true_value(t):
        responses = game.respond(t, key)
        return expect(game.utility, responses) - game.cost(t, responses)

    value, gradient = jax.value_and_grad(true_value)(theta)
    F = foresighted_value(game, follower, theta, model, key)
    assert abs(F - value) < 1e-12
    assert relative_error(steering(game, follower, theta, model, key).gradient, gradient) < 1e-10


def test_first_order_remainder_shrinks_as_the_square_of_the_learning_rate(key):
    # With k > 1 steps φ⁺ = φ − lr k ∇L + O(lr²); with k = 1 it would be linear in lr and leave nothing.
    game, theta, model = at_random(Linear(dimension=8), Gradient(), key)
    rates = np.logspace(-6, -3, 7)

    def remainder(lr):
        follower = Gradient(rm_lr=lr, rm_steps=3)

        def first_order(t):
            loss = jax.grad(follower_loss, argnums=1)(game, model.phi, game.respond(t, key))
            return leader_value(game, t, model.phi - 3 * lr * loss, game.respond(t, key))

        exact = steering(game, follower, theta, model, key).gradient
        return jnp.linalg.norm(exact - jax.grad(first_order)(theta))

    errors = jax.jit(jax.vmap(remainder))(jnp.asarray(rates))
    slope = np.polyfit(np.log(rates), np.log(errors), 1)[0]
    assert abs(slope - 2.0) < 0.1


def test_score_function_estimate_is_unbiased_for_exact_steering(key):
    # Sampled: mean over y ~ π of s(y) ∇ log π(y), where s(y) = −α (r − U) ⟨A⁻¹ ḡ, g(y)⟩ is the influence
    # of y's weight on J, from ∂φ/∂π_i = α A⁻¹ g_i (U_i − r_i).
    follower = BestResponse(ridge=0.1, alpha=0.3)
    game, theta, model = at_random(Bandit(), follower, key)
    exact = np.asarray(steering(game, follower, theta, model, key).steering)
    policy, g, U = (np.asarray(x) for x in (jax.nn.softmax(theta), game.arms.features, game.arms.quality))
    offline = np.asarray(game.offline().w)
    A = (g.T * (0.7 * offline + 0.3 * policy)) @ g + 0.1 * np.eye(2)
    s = -0.3 * (g @ np.asarray(model.phi) - U) * (g @ np.linalg.solve(A, g.T @ policy))
    n = 200_000
    drawn = np.random.default_rng(0).choice(policy.size, size=n, p=policy)
    terms = s[drawn, None] * (np.eye(policy.size)[drawn] - policy)
    error = np.abs(terms.mean(axis=0) - exact)
    assert np.all(error < 4 * terms.std(axis=0) / np.sqrt(n))


def test_a_follower_that_ignores_the_policy_gives_exact_zeros_and_an_undefined_cosine(key):
    follower = BestResponse(ridge=0.1, alpha=0.0)
    game, theta, model = at_random(Bandit(), follower, key)
    parts = steering(game, follower, theta, model, key)
    assert np.all(np.asarray(parts.steering) == 0.0)
    assert np.isnan(cosine(parts.steering, parts.standard))
    assert np.isnan(norm_ratio(parts.standard, parts.steering))


@jax.jit
def both_ways(theta, alpha, ridge, key):
    """dF/dθ by its two parts and by central differences, on one compiled program for all hyperparameters."""
    follower = BestResponse(ridge=ridge, alpha=alpha)
    game = Bandit(ordinary=4, planted=2).draw(key)
    model = follower.init(game, theta, jnp.zeros(2), key)
    F = partial(foresighted_value, game, follower, reward_model=model, key=key)
    return steering(game, follower, theta, model, key).gradient, central_difference(F, theta)


@settings(max_examples=50, deadline=None)
@given(
    theta=st.lists(st.floats(-2, 2), min_size=6, max_size=6),
    alpha=st.floats(0, 1),
    ridge=st.floats(0.01, 10),
    seed=st.integers(0, 2**31 - 1),
)
def test_decomposition_at_any_hyperparameters(theta, alpha, ridge, seed):
    total, difference = both_ways(jnp.array(theta), alpha, ridge, jax.random.key(seed))
    # truncation and rounding of the difference, at h = 1e-5 with values of order 1: about 1e-10
    np.testing.assert_allclose(total, difference, rtol=1e-6, atol=1e-9)


def test_comparisons_of_directions():
    a, b = {"x": jnp.array([3.0, 0.0])}, {"x": jnp.array([3.0, 4.0])}
    assert norm(b) == 5.0
    np.testing.assert_allclose(cosine(a, b), 0.6, rtol=1e-15)  # 9 / (3 · 5)
    np.testing.assert_allclose(norm_ratio(a, b), 0.6, rtol=1e-15)
    assert sign_agreement(a, b) == 0.5


def test_relabelling_arms_permutes_everything(key):
    follower = BestResponse(ridge=0.1, alpha=0.3)
    game, theta, model = at_random(Bandit(), follower, key)
    order = jax.random.permutation(key, theta.size)
    shuffled = BanditGame(jax.tree.map(lambda x: x[order], game.arms), game.temperature)
    shuffled_model = follower.init(shuffled, theta[order], jnp.zeros(2), key)
    np.testing.assert_allclose(shuffled_model.phi, model.phi, rtol=1e-12)
    ours = steering(game, follower, theta, model, key)
    theirs = steering(shuffled, follower, theta[order], shuffled_model, key)
    for part, shuffled_part in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(shuffled_part, part[order], rtol=1e-10, atol=1e-15)


def test_steering_ignores_what_a_best_response_forgets(key):
    follower = BestResponse(ridge=0.1, alpha=0.3)
    game, theta, model = at_random(Bandit(), follower, key)
    other = RewardModel(model.phi + 1.0, model.memory)
    for a, b in zip(
        steering(game, follower, theta, model, key), steering(game, follower, theta, other, key), strict=True
    ):
        np.testing.assert_array_equal(a, b)


SAMPLED = Neural(dimension=2, signal_dimension=1, rm_hidden="3", responses=2, sigma=0.5)
FEEDBACKS = {"labels": Labels(), "preferences": Preferences(labels="hard")}


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_foresight_is_a_plain_loop_of_updates_each_with_a_key_of_its_own(feedback, key):
    # F = J(θ, φ_k), φ_{i+1} = update(φ_i) at the i-th of k keys, evaluated on responses of another key. The
    # policy is sampled and labels are drawn, so that each key shows. 5 = 2 · 2 + 1, 7 = 3 · 2 + 1: updates go
    # in legs of ⌊√k⌋, with a rest.
    follower = Gradient(rm_lr=0.3, feedback=FEEDBACKS[feedback])
    theta, model = jax.jit(partial(away_from_the_start, SAMPLED, follower))(key)
    update = jax.jit(partial(follower.update, SAMPLED, theta))
    paid = jax.jit(lambda phi, k: leader_value(SAMPLED, theta, phi, SAMPLED.respond(theta, k)))
    evaluation, data = jax.random.split(key)

    def by_loop(update_keys, evaluation):
        reached = model
        for update_key in update_keys:
            reached = update(reached, update_key)
        return paid(reached.phi, evaluation)

    for horizon in (1, 5, 7):
        F = jax.jit(partial(foresighted_value, SAMPLED, follower, horizon=horizon))
        value, keys = F(theta, model, key), jax.random.split(data, horizon)
        np.testing.assert_allclose(value, by_loop(keys, evaluation), rtol=1e-12)
        assert abs(by_loop(keys, data) - value) > 1e-6  # one key for the evaluation and the data
        if horizon > 1:
            assert abs(by_loop([keys[0]] * horizon, evaluation) - value) > 1e-6  # one key for all updates


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_directions_are_compared_whatever_their_size(size):
    # a·b = 3 − 8 = −5, ‖a‖ = ‖(1, 2)‖ = √5, ‖b‖ = ‖(3, −4)‖ = 5
    a, b = {"theta": size * jnp.array([1.0, 2.0])}, {"theta": size * jnp.array([3.0, -4.0])}
    np.testing.assert_allclose(cosine(a, b), -1.0 / np.sqrt(5.0), rtol=1e-12)
    np.testing.assert_allclose(norm_ratio(a, b), 1.0 / np.sqrt(5.0), rtol=1e-12)
    nothing = jax.tree.map(jnp.zeros_like, b)
    assert np.isnan(cosine(a, nothing))
    assert np.isnan(norm_ratio(a, nothing))
