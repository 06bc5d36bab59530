"""Residuals of labels that were paid for, carried to other responses: by hand, and where that is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit

from fpo_jax import BestResponse, Labels, Leader, Myopic, Preferences, Proximal, run_seed
from fpo_jax.envs.neural import Neural
from fpo_jax.feedback import recorded
from fpo_jax.followers import Optax
from fpo_jax.objectives import Carried, Leverage
from fpo_jax.objectives.leverage import curvature
from fpo_jax.objectives.paid_labels import Paid
from fpo_jax.run import initial_state, iterate
from fpo_jax.steering import foresight_keys
from fpo_jax.types import Responses
from tests.helpers import SMALL, at_random, compilations, pairs_by_hand

ALL = {"kept": 1, "doubt": 1e-9, "reach": 1e-4}
"""Labels of all responses, each for itself alone."""


def kernel_mean(points, labels, residuals, counts, reach):
    squares = np.sum((points[:, None] - labels[None]) ** 2, axis=2)
    near = counts * np.exp(-squares / (2.0 * reach**2))
    return near.sum(axis=1), near @ residuals / near.sum(axis=1)


def test_labels_by_hand(key):
    # three labels of a bandit, one of them offline; r̃ of every arm from the formula alone
    follower = BestResponse(ridge=0.1, alpha=0.3)
    game, theta, model = at_random(SMALL["bandit"], follower, key)
    arms = game.arms
    pick = lambda *i: jax.tree.map(lambda leaf: leaf[jnp.array(i)], arms)  # noqa: E731
    fresh = jax.tree.map(lambda leaf: leaf[None], Responses(pick(5, 2), jnp.full(2, 0.5)))
    paid = Paid(fresh, Responses(pick(0), jnp.ones(1)))
    objective = Carried(weight=0.7, reach=0.8, doubt=0.5, unknown=0.4, damping=0.05, paid=paid)
    value = objective.value(game, follower, theta, model, key)
    psi, phi = np.asarray(arms.features), np.asarray(model.phi)
    H = np.asarray(curvature(game, follower, theta, model, foresight_keys(key).data)) + 0.05 * np.eye(2)
    points = np.linalg.solve(np.linalg.cholesky(H), psi.T).T
    rho = psi @ phi - np.asarray(arms.quality)
    labelled = [0, 5, 2]
    n, mean = kernel_mean(points, points[labelled], rho[labelled], np.ones(3), 0.8)
    leverage = np.sum(points**2, axis=1)
    share = n / (n + 0.5)
    penalty = (share * mean + (1.0 - share) * 0.4) * leverage / (1.0 + 0.7 * leverage)
    responses = game.respond(theta, key)
    expected = np.asarray(responses.w) @ (psi @ phi - 0.7 * penalty) - game.cost(theta, responses)
    np.testing.assert_allclose(value, expected, rtol=1e-10)


def test_preferences_by_hand(contextual_state, key):
    # two labels of pairs, carried to all pairs; the margin after the implicit step by bisection
    game, theta, model = contextual_state
    follower = BestResponse(ridge=0.1, alpha=0.3, feedback=Preferences())
    rows = jax.tree.map(lambda leaf: leaf[0], game.candidates)
    a, b, c = (jax.tree.map(lambda leaf, i=i: leaf[i], rows) for i in range(3))
    first, second = (jax.tree.map(lambda *x: jnp.stack(x), *sides) for sides in ((a, b), (b, c)))
    items = recorded(first, second, [0.9, 0.2])
    paid = Paid(jax.tree.map(lambda leaf: leaf[None], items), None)
    objective = Carried(weight=0.7, reach=2.0, doubt=0.5, paid=paid)
    found = objective.value(game, follower, theta, model, key)
    w, psi, other, _ = pairs_by_hand(game, theta, "policy")
    phi = np.asarray(model.phi)
    H = np.asarray(curvature(game, follower, theta, model, foresight_keys(key).data))
    white = lambda x: np.linalg.solve(np.linalg.cholesky(H), np.asarray(x).T).T  # noqa: E731
    margins = np.asarray(items.y.y.features - items.y.other.features)
    rho = expit(margins @ phi) - np.array([0.9, 0.2])
    points = white(psi - other)
    n, mean = kernel_mean(points, white(margins), rho, np.ones(2), 2.0)
    on_margin, on_reward = np.sum(points**2, axis=1), np.sum(points * white(psi), axis=1)
    m = (psi - other) @ phi
    after = [
        expit(brentq(lambda x, m=m, t=t, s=s: x + 0.7 * s * (expit(x) - t) - m, -99.0, 99.0, xtol=1e-14)) - t
        for m, t, s in zip(m, expit(m) - mean, on_margin, strict=True)
    ]
    share = n / (n + 0.5)
    residual = share * np.array(after) + (1.0 - share) / (1.0 + 0.7 * on_margin)
    cost = float(game.cost(theta, game.respond(theta, key)))
    np.testing.assert_allclose(found, w @ (psi @ phi - 0.7 * residual * on_reward) - cost, rtol=1e-9)


@pytest.mark.parametrize("feedback", [Labels(), pytest.param(Preferences(), marks=pytest.mark.slow)])
def test_with_a_label_of_every_response_it_is_what_an_oracle_gives(feedback, contextual_state, key):
    game, theta, model = contextual_state
    follower = BestResponse(ridge=0.1, alpha=0.3, feedback=feedback)
    rivals = {
        "plain": Proximal(weight=0.7),
        "curvature": Leverage(weight=0.7, oracle=1.0, form="bounded"),
    }
    for metric, rival in rivals.items():
        carried = Carried(weight=0.7, metric=metric, **ALL)
        found, known = (o.estimate(game, follower, theta, model, key) for o in (carried, rival))
        np.testing.assert_allclose(found.gradient, known.gradient, rtol=1e-6, atol=1e-9)


def test_without_labels_it_is_the_bounded_leverage_without_an_oracle(contextual_state, key):
    game, theta, model = contextual_state
    follower = BestResponse(ridge=0.1, alpha=0.3)
    fresh = jax.tree.map(lambda leaf: 0.0 * leaf[None], game.respond(theta, key))
    carried = Carried(weight=0.7, paid=Paid(fresh, None))
    values = [
        o.value(game, follower, theta, model, key) for o in (carried, Leverage(weight=0.7, form="bounded"))
    ]
    np.testing.assert_allclose(*values, rtol=1e-12)


def test_no_weight_takes_more_than_the_unknown_from_the_reward(key):
    # weight · 3 ℓ / (1 + weight · ℓ) tends to 3 at every response, of whose weights the sum is 1
    follower = BestResponse(ridge=0.1, alpha=0.3)
    game, theta, model = at_random(SMALL["bandit"], follower, key)
    fresh = jax.tree.map(lambda leaf: 0.0 * leaf[None], game.respond(theta, key))
    penalised = Carried(weight=1e9, unknown=3.0, paid=Paid(fresh, None))
    value, plain = (o.value(game, follower, theta, model, key) for o in (penalised, Myopic()))
    np.testing.assert_allclose(plain - value, 3.0, rtol=1e-6)


def test_what_is_unknown_counts_less_or_more_as_the_run_goes_on(key):
    # a quarter of the way from -1 to 1 it is -0.5; a run is that of constant numbers, iteration by iteration
    assert Carried(unknown=-1.0).at(0.25) == Carried(unknown=-1.0)
    scheduled = Carried(unknown=-1.0, unknown_final=1.0)
    assert float(scheduled.at(0.25).unknown) == -0.5
    assert scheduled.at(0.25).at(0.25) == scheduled.at(0.25)
    follower = BestResponse(ridge=0.1, alpha=0.3)
    game, *_ = at_random(SMALL["bandit"], follower, key)
    state = initial_state(game, follower, key, leader=Leader(scheduled))
    step = lambda o: iterate(game, Leader(o, policy_lr=2.0), follower, state, key, 0.75).theta  # noqa: E731
    np.testing.assert_allclose(step(scheduled), step(Carried(unknown=0.5)), rtol=1e-12)


@pytest.mark.slow
def test_a_moving_response_meets_labels_that_stay(key):
    # One response y in the neural environment: dr̃/dy is that of the proximal penalty with the label held
    # fixed, U = r(y) − ρ̂, by central differences of r and of ‖∇r‖² alone.
    game = Neural(dimension=2, rm_hidden="3", init_noise=0.7, sigma=0.0)
    follower = Optax(weight_decay=0.1, replay="fifo", buffer_size=2)
    theta, phi = jnp.array([0.5, -0.3]), game.init(key)[1]
    model = follower.init(game, theta, phi, key)
    objective = Carried(weight=0.7, metric="plain", damping=0.1, **(ALL | {"reach": 10.0}))
    found = jax.grad(lambda t: objective.value(game, follower, t, model, key))(theta)
    label = float(game.utility(theta))  # the one label that is known is that of y itself

    def paid(y):
        reward, norm = game.reward_and_norm(phi, y)
        step = 0.7 * norm
        return reward - step * (reward - label) / (1.0 + step) - game.cost(y, game.respond(y, key))

    steps = 1e-5 * jnp.eye(2)
    np.testing.assert_allclose(found, [(paid(theta + h) - paid(theta - h)) / 2e-5 for h in steps], rtol=1e-6)


@pytest.mark.slow
def test_other_numbers_compile_nothing(key):
    follower = BestResponse(ridge=0.1, alpha=0.3, feedback=Labels(label_budget=3))
    go = lambda o: run_seed(SMALL["bandit"], Leader(o), follower, key, steps=2)  # noqa: E731
    go(Carried())
    with compilations() as names:
        go(Carried(weight=0.2, reach=0.1, doubt=2.0, unknown=-1.0, damping=0.1))
    assert names == []
