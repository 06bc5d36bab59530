"""Labels that move toward the reward model's predictions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit

from fpo_jax import BestResponse, Labels, Leader, Myopic, Preferences, outcome, run_seed
from fpo_jax.envs.bandit import Arm, Bandit, BanditGame
from fpo_jax.envs.linear import Linear
from fpo_jax.followers import DataSmoothing
from fpo_jax.hyperparameters import validate
from fpo_jax.steering import foresighted_value, norm, steering
from fpo_jax.testing.checks import central_difference
from tests.helpers import at_random, parts_and_difference, relative_error, require_named

ARMS = Bandit(ordinary=5, planted=2)


@pytest.mark.parametrize("horizon", [1, 3])
def test_standard_plus_steering_is_the_gradient_of_F(horizon, key):
    follower = DataSmoothing(ridge=0.1, alpha=0.3, replaced=0.3)
    game, theta, model = at_random(ARMS, follower, key)

    @jax.jit
    def both():
        after = follower.update(game, 0.5 * theta, model, key)
        parts = steering(game, follower, theta, after, key, horizon)
        value = lambda t: foresighted_value(game, follower, t, after, key, horizon)  # noqa: E731
        return parts, central_difference(value, theta), follower.residual(game, 0.5 * theta, after, key)

    parts, difference, residual = both()
    assert norm(parts.steering) > 1e-3
    assert relative_error(parts.gradient, difference) < 1e-6
    assert residual < 1e-12


@pytest.mark.slow
def test_standard_plus_steering_is_the_gradient_of_F_on_preferences(contextual_state, key):
    game, theta, _ = contextual_state
    follower = DataSmoothing(ridge=0.1, alpha=0.3, replaced=0.3, feedback=Preferences())
    model = jax.jit(follower.init)(game, theta, jnp.zeros(3), key)
    parts, difference = parts_and_difference(game, follower, theta, model, key, horizon=2)
    assert relative_error(parts.gradient, difference) < 1e-6


def test_two_labels_of_one_parameter_have_a_closed_form():
    # r = φ at both arms, of weights w and 1 − w. φ = m / (1 + λ) with m = w y_0 + (1 − w) y_1, and each label
    # moves by β (φ − y_i): y_0 − y_1 shrinks by 1 − β, and m by 1 − β + β / (1 + λ). After t updates
    # φ_t = (1 − β λ / (1 + λ))^t m_0 / (1 + λ), and y_0 − y_1 = (1 − β)^t (U_0 − U_1).
    game = BanditGame(Arm(jnp.ones((2, 1)), jnp.array([0.2, 0.9]), jnp.zeros(2)), 0.0)
    beta, ridge, key = 0.3, 0.25, jax.random.key(0)
    follower = DataSmoothing(ridge=ridge, alpha=1.0, replaced=beta)
    theta = jnp.array([0.4, -0.3])
    model = follower.init(game, theta, jnp.zeros(1), key)
    start = np.asarray(jax.nn.softmax(theta)) @ [0.2, 0.9]
    update = jax.jit(follower.update)
    for t in range(5):
        np.testing.assert_allclose(
            model.phi, (1 - beta * ridge / (1 + ridge)) ** t * start / (1 + ridge), rtol=1e-12
        )
        labels = model.memory.labels[2:]  # the offline items, of weight 0 here, come first
        np.testing.assert_allclose(labels[0] - labels[1], (1 - beta) ** t * (0.2 - 0.9), rtol=1e-12)
        model = update(game, theta, model, key)


def three_arms():
    """Arms with a reward each, arm 2 seen least; pairs as the policy (.495, .495, .01) draws them."""
    planted = jnp.array([0.0, 0.0, 1.0])
    return BanditGame(Arm(jnp.eye(3), jnp.array([0.5, 0.5, 2.0]), planted), 0.0)


def test_on_three_arms_a_pair_that_is_seldom_seen_is_believed_less():
    # After the paper's three arms: two are compared often; the third seldom, and then it wins nearly for
    # certain. By symmetry φ = (−a, −a, 2a), m = 3a. With pairs of both orders, of weight v = 2 · .01 · .99
    # between arm 2 and the others in all, the slope of the loss along (−1, −1, 2) is
    #     3 v (σ(3a) − y) + 2 λ · 6 a = 0,
    # where y = σ(1.5 / .25) is the soft label at first, and y ← (1 − β) y + β σ(3a) after each update. Pairs
    # of equal arms have label ½ and margin 0 throughout.
    game, ridge, beta = three_arms(), 1e-4, 0.5
    follower = DataSmoothing(ridge=ridge, alpha=1.0, replaced=beta, feedback=Preferences())
    theta, key, v = jnp.log(jnp.array([0.495, 0.495, 0.01])), jax.random.key(0), 2 * 0.01 * 0.99
    model = jax.jit(follower.init)(game, theta, jnp.zeros(3), key)
    update, y, gaps = jax.jit(follower.update), expit(1.5 / 0.25), []
    for _ in range(4):
        a = brentq(lambda a: 3 * v * (expit(3 * a) - y) + 12 * ridge * a, -50.0, 50.0, xtol=1e-14)  # noqa: B023
        np.testing.assert_allclose(model.phi, [-a, -a, 2 * a], rtol=1e-8, atol=1e-9)
        gaps.append(3 * a)
        y = (1 - beta) * y + beta * expit(3 * a)
        model = update(game, theta, model, key)
    assert np.all(np.diff(gaps) < 0)  # its lead over the others shrinks; a plain best response keeps it
    plain = BestResponse(ridge=ridge, alpha=1.0, feedback=Preferences())
    first = plain.init(game, theta, jnp.zeros(3), key)
    np.testing.assert_allclose(plain.update(game, theta, first, key).phi, first.phi, rtol=1e-9)


def test_without_smoothing_it_is_the_plain_best_response(key):
    def run(follower):
        leader = Leader(Myopic(), policy_lr=1.0)
        state, trace = run_seed(ARMS, leader, follower, key, steps=4, record=outcome)
        return state.reward_model.phi, trace.metrics["true_utility"]

    plain, ours = (
        run(of(ridge=0.1, alpha=0.3, **more))
        for of, more in ((BestResponse, {}), (DataSmoothing, {"replaced": 0.0}))
    )
    jax.tree.map(np.testing.assert_array_equal, ours, plain)


def test_what_it_cannot_be(key):
    leader = Leader(Myopic(), policy_lr=0.02)
    require_named(
        "follower = data-smoothing: must be another one: this environment has no fixed responses",
        lambda: run_seed(Linear(dimension=3), leader, DataSmoothing(ridge=0.1), key, steps=1),
    )
    require_named(
        "label_budget = 5: must be omitted, because data smoothing keeps the label of every item",
        lambda: validate(DataSmoothing(feedback=Labels(label_budget=5))),
    )
    game, theta, model = at_random(ARMS, DataSmoothing(ridge=0.1, alpha=0.3), key)
    require_named(
        "follower = data-smoothing: must be gradient or a best response, since only these have a limit",
        lambda: DataSmoothing(ridge=0.1, alpha=0.3).limit(game, theta, model, key),
    )
