"""Feedback: the annotator, comparisons and their influence, and followers that learn from preferences."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.optimize import brentq
from scipy.special import expit

from fpo_jax import (
    BestResponse,
    Exact,
    Gradient,
    Labels,
    Leader,
    Preferences,
    Relaxed,
    RewardModel,
    ScoreFunction,
    run_seed,
)
from fpo_jax.envs.linear import Linear
from fpo_jax.envs.neural import Neural
from fpo_jax.envs.parts.contextual_game import from_tables
from fpo_jax.expect import training_data
from fpo_jax.feedback import Comparison
from fpo_jax.followers import Optax
from fpo_jax.numerics.keys import named_key
from fpo_jax.objectives import EffectiveReward, Implicit
from fpo_jax.steering import foresighted_value, norm, steering
from fpo_jax.testing.checks import central_difference
from tests.helpers import CONTEXTUAL, ONE_PAIR, away_from_the_start, require_named

FOLLOWERS = {
    "best response, against itself": BestResponse(ridge=0.05, alpha=0.3, feedback=Preferences()),
    "gradient, against the reference": Gradient(
        rm_lr=0.3, alpha=0.3, feedback=Preferences(opponent="reference", label_noise=0.1, tie_margin=0.05)
    ),
    "gradient, 3 steps": Gradient(rm_lr=0.3, alpha=0.5, rm_steps=3, feedback=Preferences()),
    "optax": Optax(
        optimizer="sgd", rm_lr=0.1, alpha=0.5, draws=2, buffer_size=3, replay="fifo", feedback=Preferences()
    ),
}
HARD = Preferences(labels="hard", blind_spot_bias=0.3)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n.startswith("best") else n for n in FOLLOWERS]
)
def test_standard_plus_steering_is_the_gradient_of_F(name, key):
    follower = FOLLOWERS[name]

    @jax.jit
    def three_ways(key):
        game = CONTEXTUAL.draw(key)
        theta, model = away_from_the_start(game, follower, key)

        def F(t):
            return foresighted_value(game, follower, t, model, key)

        parts = steering(game, follower, theta, model, key)
        implicit = (
            [Implicit(), EffectiveReward()]
            if follower.feedback == Preferences() and isinstance(follower, BestResponse)
            else []
        )
        routes = [route.estimate(game, follower, theta, model, key).gradient for route in implicit]
        return parts, central_difference(F, theta), routes

    parts, difference, routes = three_ways(key)
    assert norm(parts.steering) > 1e-5  # else the equality would say nothing about steering
    np.testing.assert_allclose(parts.gradient, difference, atol=1e-6 * np.abs(difference).max())
    for gradient in routes:  # the implicit function theorem, and the effective reward of a comparison
        np.testing.assert_allclose(gradient, parts.gradient, atol=1e-9)


def within_4_standard_errors(draws, expected):
    error = np.std(draws, axis=0, ddof=1) / np.sqrt(len(draws))
    assert np.all(error > 0)
    assert np.all(np.abs(np.mean(draws, axis=0) - expected) < 4 * error)


def test_hard_labels_are_soft_ones_on_average_even_where_responses_move(key):
    # One gradient step is linear in the label, so that E over labels of the exact gradient is that of p*:
    # with the score of the label, through which it depends on θ by U(y).
    theta, phi = jax.random.normal(key, (2, 4))

    def estimate(labels, k):
        feedback = Preferences(labels=labels, opponent="reference", annotator_temperature=2.0)
        follower = Gradient(rm_lr=0.5, feedback=feedback)
        return Exact().estimate(ONE_PAIR, follower, theta, RewardModel(phi), k).gradient

    draws = jax.jit(jax.vmap(partial(estimate, "hard")))(jax.random.split(key, 4000))
    within_4_standard_errors(np.asarray(draws), estimate("soft", key))


def sampled_gradient(game, follower, theta, model, key):
    return ScoreFunction(samples=20).estimate(game, follower, theta, model, key).gradient


@pytest.mark.slow
@pytest.mark.parametrize("feedback", [Preferences(), HARD], ids=["soft", "hard"])
def test_sampled_pairs_estimate_the_exact_gradient(feedback, contextual_state, key):
    # F is linear in φ⁺, which one step makes linear in the data: evaluation and data are separate samples.
    game, theta, model = contextual_state
    follower = Gradient(rm_lr=0.5, alpha=0.5, feedback=feedback)
    estimate = jax.jit(jax.vmap(partial(sampled_gradient, game, follower, theta, model)))
    soft = follower.replace(feedback=feedback.replace(labels="soft"))
    exact = Exact().estimate(game, soft, theta, model, key).gradient
    within_4_standard_errors(np.asarray(estimate(jax.random.split(key, 4000))), exact)


@jax.jit
def best_response(game, theta, key, feedback):
    return BestResponse(ridge=0.05, alpha=0.3, feedback=feedback).init(game, theta, jnp.zeros(3), key).phi


def test_limits_of_the_annotator(contextual_state, key):
    game, theta, _ = contextual_state

    def phi(**annotator):
        return best_response(game, theta, key, Preferences(**annotator))

    # T → ∞, or labels turned round half of the time: p* = ½ throughout, so that φ = 0 is stationary
    np.testing.assert_allclose(phi(annotator_temperature=1e12), 0.0, atol=1e-11)
    np.testing.assert_allclose(phi(label_noise=0.5), 0.0, atol=1e-12)
    np.testing.assert_allclose(phi(tie_margin=10.0), 0.0, atol=1e-12)
    # T → 0: the better of two is preferred with certainty, and a response ties with itself
    certain = phi(labels="hard", annotator_temperature=0.0)
    np.testing.assert_allclose(phi(annotator_temperature=1e-12), certain, rtol=1e-8)
    assert norm(certain) > 0.1
    # a bias toward the trap makes its reward higher than it was
    trap = np.asarray(game.candidates.features[1, 2])
    assert trap @ np.asarray(phi(blind_spot_bias=1.0)) > trap @ np.asarray(phi())


def test_with_one_response_per_prompt_there_is_nothing_to_prefer_nor_to_steer(key):
    # every pair is of a response with itself, of which ∇m = 0: φ⁺ stays at its anchor whatever the policy
    game = from_tables(jax.random.normal(key, (3, 1, 2)), [[0.1], [0.5], [0.9]])
    follower = BestResponse(ridge=0.05, feedback=Preferences())
    theta, model = jnp.zeros((3, 1)), RewardModel(jnp.zeros(2), jnp.zeros(2))
    parts = jax.jit(
        lambda: (follower.update(game, theta, model, key), steering(game, follower, theta, model, key))
    )()
    np.testing.assert_array_equal(parts[0].phi, 0.0)
    np.testing.assert_array_equal(parts[1].steering, 0.0)


def test_the_proximal_residual_is_that_after_an_implicit_step():
    feedback = Preferences()
    after = jax.jit(jax.vmap(feedback.residual_after))
    slope = jax.jit(jax.vmap(jax.grad(feedback.residual_after, argnums=2)))
    m, p, s = (x.ravel() for x in np.meshgrid([-30.0, -2.0, 0.0, 5.0], [0.02, 0.5, 0.98], [0.0, 0.3, 1e3]))
    root = [
        brentq(lambda x, at=at: x + at[2] * (expit(x) - at[1]) - at[0], -2000, 2000, xtol=1e-14)
        for at in zip(m, p, s, strict=True)
    ]
    np.testing.assert_allclose(after(m, p, s), expit(root) - p, atol=1e-12)
    # by the implicit function theorem dx/ds = −(σ − p*) / (1 + s σ'), dσ/ds = σ' dx/ds
    sigma = expit(root)
    expected = -(sigma - p) * sigma * (1 - sigma) / (1 + s * sigma * (1 - sigma))
    np.testing.assert_allclose(slope(m, p, s), expected, atol=1e-10)


FEATURES, UTILITY = np.ones((2, 3, 2)), np.full((2, 3), 0.5)
BAD = {
    "annotator_temperature = 0.0: must be > 0 for soft labels": lambda key: run_seed(
        CONTEXTUAL,
        Leader(Relaxed()),
        BestResponse(ridge=0.1, feedback=Preferences(annotator_temperature=0.0)),
        key,
        steps=1,
    ),
    "label_noise = 0.7: must be a finite number >= 0 and <= 0.5": lambda key: run_seed(
        CONTEXTUAL, Leader(Relaxed()), Gradient(feedback=Preferences(label_noise=0.7)), key, steps=1
    ),
    "opponent = reference: must be policy": lambda key: run_seed(
        Linear(), Leader(Relaxed()), Gradient(feedback=Preferences(opponent="reference")), key, steps=1
    ),
    "follower = BestResponse: must be given a ridge > 0": lambda key: run_seed(
        from_tables(FEATURES, UTILITY), Leader(Relaxed()), BestResponse(feedback=Preferences()), key, steps=1
    ),
}


@pytest.mark.parametrize("complaint", BAD)
def test_bad_input(complaint, key):
    require_named(complaint, lambda: BAD[complaint](key))


def test_recorded_comparisons_stand_in_for_the_annotators(key):
    features = jax.random.normal(key, (2, 3, 2))
    game = from_tables(features, UTILITY, comparisons=[(0, 1, 2, 0.9), (1, 0, 2, 0.2)])
    items = Preferences().offline(game, key)
    np.testing.assert_array_equal(items.y.preferred, [0.9, 0.2])
    np.testing.assert_array_equal(items.y.other.features, features[[0, 1], [2, 2]])
    np.testing.assert_array_equal(items.w, [0.5, 0.5])


def test_a_response_is_compared_with_another_one(key):
    # A policy that is sampled meets a second sample of itself: y' has a key of its own, so that y' ≠ y.
    game, theta = Neural(dimension=3, rm_hidden="4", responses=2), jnp.arange(3.0)
    follower = Gradient(feedback=Preferences())
    data = training_data(game, theta, 1.0, key, follower.feedback)
    assert np.all(np.abs(data.y.y - data.y.other) > 1e-6)
    other = game.respond(theta, named_key(key, "opponent")).y
    np.testing.assert_array_equal(data.y.other, np.tile(other, (2, 1)))  # y_i with each y'_j, i first
    np.testing.assert_array_equal(data.y.y, np.repeat(game.respond(theta, key).y, 2, axis=0))


def test_the_influence_of_a_pair_is_made_of_inner_products_of_gradients(key):
    # ⟨∇r, ∇r − ∇r'⟩ and ‖∇r − ∇r'‖², from the gradients themselves
    game = Neural(dimension=3, rm_hidden="4,3")
    _, phi = game.init(key)
    y, other = jax.random.normal(key, (2, 3))
    item = Comparison(y, other, jnp.array(0.3), jnp.array(1.0))
    mine, theirs = (ravel_pytree(jax.grad(game.reward)(phi, side))[0] for side in (y, other))
    found = Preferences().influence(game, phi, item)
    expected = (
        game.reward(phi, y),
        game.reward(phi, y) - game.reward(phi, other),
        mine @ (mine - theirs),
        (mine - theirs) @ (mine - theirs),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_the_annotator_errs_in_a_share_of_cases_either_way():
    # p* = ε + (1 − 2ε) σ(Δ / T): at Δ = ln 3 and T = 1, σ = 3/4.
    annotator = Preferences(label_noise=0.1, annotator_temperature=1.0)
    np.testing.assert_allclose(annotator.probability(jnp.log(3.0)), 0.1 + 0.8 * 0.75, rtol=1e-12)
    np.testing.assert_allclose(annotator.probability(jnp.array(-80.0)), 0.1, rtol=1e-12)


def test_the_residual_of_a_label_after_an_implicit_step():
    # argmin (m⁺ − U)² / 2 + (m⁺ − m)² / (2 s): m⁺ = (m + s U) / (1 + s), whose residual is (m − U) / (1 + s)
    np.testing.assert_allclose(Labels().residual_after(jnp.array(3.0), jnp.array(1.0), jnp.array(3.0)), 0.5)
