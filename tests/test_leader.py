"""The leader's step, by hand: how far, how it fades, how it is clamped; by which rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import BestResponse, CentralDifference, Gradient, Leader, Myopic, RewardModel, outcome, run_seed
from fpo_jax.envs.contextual import Contextual
from fpo_jax.envs.gridworld import Gridworld
from fpo_jax.envs.linear import Linear
from fpo_jax.objectives import Informed, Kl, Relaxed
from tests.helpers import CONTEXTUAL, SMALL, at_random, require_named

FOLLOWER = BestResponse(ridge=0.1, alpha=0.3)


def test_a_step_is_the_clamped_gradient_times_the_faded_rate(key):
    # J = φ·y − 0.1 ‖y‖²: ∇J = φ − 0.2 y = (0.8, 1.6, −3.0), of which ±1 is left
    game, y = Linear(dimension=3), jnp.array([1.0, 2.0, 0.0])
    model = RewardModel(jnp.array([1.0, 2.0, -3.0]))
    leader = Leader(Myopic(), policy_lr=0.5, policy_lr_decay=0.8, policy_lr_power=2.0)
    free, clamped = (
        player.at(0.5).step(game, Gradient(), y, model, key) - y
        for player in (leader, leader.replace(gradient_clip=1.0))
    )
    rate = 0.5 * (0.2 + 0.8 * (1 - 0.25))  # at p = ½ a quarter of what is to be lost is lost
    np.testing.assert_allclose(free, rate * np.array([0.8, 1.6, -3.0]), rtol=1e-14)
    np.testing.assert_allclose(clamped, rate * np.array([0.8, 1.0, -1.0]), rtol=1e-14)


def test_a_mirror_step_multiplies_the_policy_by_the_exponential_of_its_advantage(key):
    # relaxed FPO's effective reward r − ½ (r − U) ‖∇r‖², less the price τ (log π + 1) of the entropy; π and A
    # are of NumPy alone, and a constant in A does not matter
    game, theta, model = at_random(SMALL["bandit"], FOLLOWER, key)
    leader = Leader(Relaxed(weight=0.5), policy_lr=0.7, rule="mirror")
    features, quality = np.asarray(game.arms.features), np.asarray(game.arms.quality)
    reward, norm = features @ np.asarray(model.phi), np.sum(features**2, axis=1)
    before = np.asarray(jax.nn.softmax(theta))
    advantage = reward - 0.5 * (reward - quality) * norm - game.temperature * np.log(before)
    after = before * np.exp(0.7 * advantage)
    found = jax.nn.softmax(leader.step(game, FOLLOWER, theta, model, key))
    np.testing.assert_allclose(found, after / after.sum(), rtol=1e-12)


@pytest.mark.parametrize("environment", [Gridworld(map="S.D / ..G"), CONTEXTUAL])
def test_a_mirror_step_is_the_natural_gradient(environment, key):
    # F = Σ_s d(s) (diag π_s − π_s π_sᵀ), built of scores; F⁺ g has mean 0 over the logits of a state
    game, theta, model = at_random(environment, FOLLOWER, key)
    gradient = Leader(Myopic(), policy_lr=1.0).step(game, FOLLOWER, theta, model, key) - theta
    w = np.asarray(game.respond(theta, key).w).reshape(theta.shape)
    policy = w / w.sum(axis=1, keepdims=True)
    fisher = np.zeros((theta.size, theta.size))
    for (state, action), weight in np.ndenumerate(w):
        score = np.zeros(theta.shape)
        score[state] -= policy[state]
        score[state, action] += 1.0
        fisher += weight * np.outer(score, score)
    natural = (np.linalg.pinv(fisher, rcond=1e-10) @ np.ravel(gradient)).reshape(theta.shape)
    step = Leader(Myopic(), policy_lr=1.0, rule="mirror").step(game, FOLLOWER, theta, model, key) - theta
    np.testing.assert_allclose(step - np.mean(step, axis=1, keepdims=True), natural, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(np.sum(w * step, axis=1), 0.0, atol=1e-12)  # E[A] = 0 at each state


@pytest.mark.parametrize(("environment", "prompts"), [(CONTEXTUAL, 2), (Gridworld(map="S.D / ..G"), 1)])
def test_standardised_advantages_have_unit_variance_at_each_prompt(environment, prompts, key):
    game, theta, model = at_random(environment, FOLLOWER, key)
    steps = {
        rule: np.asarray(Leader(Myopic(), policy_lr=1.0, rule=rule).step(game, FOLLOWER, theta, model, key))
        - np.asarray(theta)
        for rule in ("gradient", "standardised")
    }
    w = np.asarray(game.respond(theta, key).w).reshape(prompts, -1)
    gradient, found = (step.reshape(prompts, -1) for step in steps.values())
    given_prompt = w / w.sum(axis=1, keepdims=True)
    deviation = np.sqrt(np.sum(given_prompt * (gradient / w) ** 2, axis=1, keepdims=True))
    np.testing.assert_allclose(found, gradient / deviation, rtol=1e-10, atol=1e-14)


def test_a_response_that_is_never_drawn_is_not_moved(key):
    game, _, model = at_random(SMALL["bandit"], FOLLOWER, key)
    theta = jnp.zeros(7).at[0].set(-1000.0)
    game = game.replace(temperature=0.0)
    for rule in ("mirror", "standardised"):
        after = Leader(Myopic(), policy_lr=1.0, rule=rule).step(game, FOLLOWER, theta, model, key)
        assert after[0] == -1000.0
        assert np.all(np.isfinite(after))


def test_a_policy_that_is_certain_has_no_advantage_to_standardise(key):
    game, _, model = at_random(SMALL["bandit"], FOLLOWER, key)
    theta = jnp.full(7, -1000.0).at[2].set(0.0)
    game = game.replace(temperature=0.0)
    after = Leader(Myopic(), policy_lr=1.0, rule="standardised").step(game, FOLLOWER, theta, model, key)
    np.testing.assert_array_equal(after, theta)


@pytest.mark.parametrize("environment", [Linear(dimension=3), Contextual(policy="linear")])
def test_a_rule_asks_for_a_logit_of_each_response(environment, key):
    for rule in ("mirror", "standardised"):
        leader = Leader(Myopic(), rule=rule)
        said = f"rule = {rule}: must be gradient: this policy does not have one logit for each response"
        require_named(said, lambda x=leader: run_seed(environment, x, FOLLOWER, key, steps=1))
    leader, said = Leader(Myopic(), rule="steepest"), "rule = steepest: must be one of gradient, mirror,"
    require_named(said, lambda: run_seed(environment, leader, FOLLOWER, key, steps=1))


def test_a_difference_is_not_divided_by_a_probability(key):
    leader = Leader(Myopic(), rule="mirror", differentiator=CentralDifference())
    said = "rule = mirror: must be gradient, unless the differentiator is autodiff: advantages divide by prob"
    require_named(said, lambda: run_seed(SMALL["bandit"], leader, FOLLOWER, key, steps=1))


@pytest.mark.parametrize(("restart", "share"), [("reset", 0.0), ("interpolated", 0.25), ("kept", 1.0)])
def test_where_the_policy_begins_an_iteration(restart, share, key):
    # θ₀ = 0. One step at φ_t from share · θ_t; the first alone would be blind to a wrong start.
    game = SMALL["bandit"].draw(key)
    leader = Leader(Myopic(), policy_lr=2.0, restart=restart, interpolation=0.25)
    _, trace = run_seed(game, leader, FOLLOWER, key, steps=3, keep_states=True)
    thetas, phis = trace.state.theta, trace.state.reward_model.phi
    features = np.asarray(game.arms.features)
    for t in range(3):
        start = share * np.asarray(thetas[t])
        w = np.asarray(jax.nn.softmax(start))
        paid = features @ np.asarray(phis[t]) - game.temperature * np.log(w)
        np.testing.assert_allclose(thetas[t + 1], start + 2.0 * w * (paid - w @ paid), rtol=1e-9)


def test_an_objective_keeps_its_own_policies_where_the_policy_restarts(key):
    game = SMALL["bandit"].draw(key)
    held = Kl(weight=0.1, to="earlier", lag=2)
    leader = Leader(held, policy_lr=1.0, restart="reset")
    assert leader.keeps
    _, trace = run_seed(game, leader, FOLLOWER, key, steps=4, keep_states=True)
    first, (oldest, newest) = trace.state.earlier.first, np.moveaxis(trace.state.earlier.own, 1, 0)
    np.testing.assert_array_equal(first, jnp.zeros_like(first))
    # it remembers what was deployed: of each entry the policies one and two entries before
    np.testing.assert_array_equal(newest[1:], trace.state.theta[:-1])
    np.testing.assert_array_equal(oldest[1:], newest[:-1])
    # and is held to them: the first step that has another one to be held to than θ₀ is the fourth
    _, plain = run_seed(
        game, leader.replace(objective=Kl(weight=0.1)), FOLLOWER, key, steps=4, keep_states=True
    )
    away = np.abs(trace.state.theta - plain.state.theta).max(axis=1)
    np.testing.assert_array_equal(away > 1e-6, [False, False, False, False, True])


def test_an_objective_that_keeps_nothing_is_not_asked_where_the_policy_restarts(key):
    leader = Leader(Informed(weight=0.1, source="oracle"), policy_lr=1.0, restart="reset")
    assert leader.keeps
    state, _ = run_seed(CONTEXTUAL, leader, FOLLOWER, key, steps=2, record=outcome)
    assert state.earlier.own == ()
