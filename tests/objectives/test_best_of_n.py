"""Best of n as an objective: its steering, effective rewards, likelihood steps on the winner."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import (
    BestOf,
    BestResponse,
    Exact,
    Gradient,
    InputError,
    Leader,
    Preferences,
    Relaxed,
    RewardModel,
    run_seed,
)
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.contextual import Contextual
from fpo_jax.envs.linear import Linear
from fpo_jax.objectives import EffectiveReward
from fpo_jax.objectives.best_of_n import Selected, reward_scores
from fpo_jax.objectives.effective_reward import effective_rewards
from fpo_jax.responses import accepted, best_of
from fpo_jax.steering import foresighted_value, norm, steering
from fpo_jax.testing.checks import central_difference


def test_the_steering_of_best_of_n_is_exact(key):
    follower = Gradient(rm_lr=0.3, alpha=0.3, feedback=Preferences())

    @jax.jit
    def parts_and_difference(key):
        inner = Contextual(prompts=2, trapped=1, ordinary=2, traps=1, topics=1).draw(key)
        theta, phi = inner.init(key)
        theta = theta + 0.5 * jax.random.normal(key, theta.shape)
        model = RewardModel(phi + jax.random.normal(key, phi.shape))
        scores = reward_scores(inner, theta, model.phi, key)
        plain = steering(inner, follower, theta, model, key)
        one = steering(Selected(inner, scores, candidates=1), follower, theta, model, key)
        game = Selected(inner, scores, candidates=3)
        parts = steering(game, follower, theta, model, key)
        return (
            plain,
            one,
            parts,
            central_difference(lambda t: foresighted_value(game, follower, t, model, key), theta),
        )

    plain, one, parts, difference = parts_and_difference(key)
    np.testing.assert_allclose(parts.gradient, difference, atol=1e-6 * np.abs(difference).max())
    np.testing.assert_allclose(one.steering, plain.steering, atol=1e-13)  # n = 1 is the policy itself
    assert norm(parts.steering) > 1e-4
    assert norm(parts.steering - plain.steering) > 1e-4


def test_effective_rewards_are_derivatives_by_the_weights(key):
    game = Bandit(ordinary=4, planted=2).draw(key)
    follower = BestResponse(ridge=0.1, alpha=0.3)
    theta = jax.random.normal(key, (6,))
    model = follower.init(game, theta, jnp.zeros(2), key)
    arguments = (game, follower, theta, model, key)
    influence = jax.jit(lambda: jax.vmap(EffectiveReward().reward(*arguments)[0])(game.arms))()
    by_weights = jax.jit(lambda objective: effective_rewards(objective, *arguments))
    np.testing.assert_allclose(by_weights(Exact()), influence, atol=1e-12)
    r, squares = game.arms.features @ model.phi, jnp.sum(game.arms.features**2, axis=1)
    np.testing.assert_allclose(
        by_weights(Relaxed(weight=0.3)),
        r - 0.3 * (r - game.arms.quality) * squares,
        rtol=1e-12,
    )


def test_a_likelihood_step_on_the_winner(key):
    # E_q[∇ log π] = q − π for a softmax over arms; with one candidate q = π, and only the cost is left.
    game = Bandit(ordinary=4, planted=2).draw(key)
    follower = BestResponse(ridge=0.1, alpha=0.3)
    theta = jax.random.normal(key, (6,))
    model = follower.init(game, theta, jnp.zeros(2), key)
    weights = jax.nn.softmax(theta)
    cost = jax.grad(lambda t: game.cost(t, game.respond(t, key)))(theta)
    r = game.arms.features @ model.phi
    estimate = jax.jit(lambda o: o.estimate(game, follower, theta, model, key).gradient)
    for objective, winner in (
        (BestOf(candidates=1), weights),
        (BestOf(candidates=4), best_of(weights, r, 4)),
        (BestOf(candidates=4, selection="rejection"), accepted(weights, r, 4, 10.0)),
    ):
        gradient = estimate(objective)
        np.testing.assert_allclose(gradient, winner - weights - cost, atol=1e-13)


def test_no_candidates_and_a_policy_of_one_response_are_refused(key):
    with pytest.raises(InputError, match="candidates = 0: must be an integer >= 1"):
        run_seed(Bandit(), Leader(BestOf(candidates=0)), BestResponse(ridge=0.1, alpha=0.3), key, steps=1)
    with pytest.raises(InputError, match="objective = best-of: must be another one"):
        run_seed(Linear(), Leader(BestOf()), Gradient(), key, steps=1)
