"""Performative problems: their closed forms, and that they are games as others are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import foresighted_value
from fpo_jax.steering import steering
from fpo_jax.testing import check_game
from fpo_jax.testing.performative import (
    Audit,
    BiasedCoin,
    ConcaveTrap,
    LinearMean,
    PrevalenceBandit,
    RidgeRegression,
    World,
)
from fpo_jax.types import RewardModel

GAUSSIAN_MEAN = RidgeRegression(base=10.0, sensitivity=0.9, second_moment=1.0, ridge=0.0)
NUMBERS = {
    # game: stable, optimal, slope as the papers and fractions have them
    "coin": (BiasedCoin(), 1 / 7, 1 / 4, 3 / 10),
    "pricing": (LinearMean(base=3.0, response=-2.0), 3 / 2, 3 / 4, None),
    "gaussian mean": (GAUSSIAN_MEAN, 100.0, 100.0, 0.9),
    "ridge": (RidgeRegression(), 85 / 11, -170 / 203, 85 / 96),
    "trap": (ConcaveTrap(), 0.0, 1.0, 0.8),
    "mild trap": (ConcaveTrap(gain=0.4), 0.0, 0.0, 0.4),
}
"""Ridge: with c = 34/9, a = 5/3, ρ = 10/3, c·a = 170/27, c + ρ = 192/27, c(1 − a) + ρ = 22/27, so that the
slope is 170/192 and the stable point 170/22; optimal, −(340/81)/(406/81) by c(a − 1)² + ρ = 406/81."""
CROWDED = {
    # v: stable and optimal. Of (1, .9, .5): v − π = (2.4 − 1)/3 and v − 2π = (2.4 − 2)/3 throughout
    (3.0, 2.0, 1.0, 0.0): ([1, 0, 0, 0], [3 / 4, 1 / 4, 0, 0]),
    (1.0, 0.9, 0.5): ([8 / 15, 13 / 30, 1 / 30], [13 / 30, 23 / 60, 11 / 60]),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_closed_forms_are_the_fractions(name):
    game, stable, optimal, slope = NUMBERS[name]
    np.testing.assert_allclose([game.stable(), game.optimal()], [stable, optimal], rtol=1e-14)
    assert (game.slope() is None) if slope is None else abs(float(game.slope()) - slope) < 1e-14


def test_retraining_the_ridge_regression_ends_with_fifty_times_the_least_risk():
    # c(a₀ + (a₁ − 1)θ)² + ρθ² at 85/11: 34/9 · (75/11)² + 10/3 · (85/11)² = (21250 + 72250/3)/121; at best
    # a₀²cρ/(c(1 − a₁)² + ρ) = (25/9)(340/27)/(406/81) = 25 · 340 · 3/(9 · 406)
    game = RidgeRegression()
    risks = [-float(game.utility(jnp.asarray(theta))) for theta in (game.stable(), game.optimal())]
    np.testing.assert_allclose(risks, [(21250 + 72250 / 3) / 121, 25 * 340 * 3 / (9 * 406)], rtol=1e-13)
    assert 53 < risks[0] / risks[1] < 54


@pytest.mark.parametrize("values", CROWDED)
def test_crowded_arms_share_as_the_conditions_say(values):
    game = PrevalenceBandit(jnp.array(values))
    stable, optimal = CROWDED[values]
    np.testing.assert_allclose(game.stable(), stable, atol=1e-15)
    np.testing.assert_allclose(game.optimal(), optimal, atol=1e-15)


def test_foresight_reverses_the_sign_of_the_true_policy_gradient():
    # Logits (0, 0): π = ½, dπ/dθ₁ = ¼. Label 1 − (4/3)·½ = 1/3, so that
    #   standard = ¼ · 1/3 = 1/12,   steering = ½ · (−4/3) · ¼ = −1/6,   total = −1/12,   dE[U] = ¼ · 1
    game, theta, key = Audit(), jnp.zeros(2), jax.random.key(0)
    parts = steering(game, World(), theta, RewardModel(game.answer(theta)), key)
    np.testing.assert_allclose(parts.standard, [-1 / 12, 1 / 12], rtol=1e-14)
    np.testing.assert_allclose(parts.steering, [1 / 6, -1 / 6], rtol=1e-14)
    np.testing.assert_allclose(parts.gradient, [1 / 12, -1 / 12], rtol=1e-14)
    true = jax.grad(lambda t: jnp.sum(game.respond(t, key).w * jnp.array([0.0, 1.0])))(theta)
    np.testing.assert_allclose(true, [-1 / 4, 1 / 4], rtol=1e-14)
    # F = π(1 − (4/3)π) by hand at π = 0.6
    at = jnp.array([0.0, np.log(1.5)])
    value = foresighted_value(game, World(), at, RewardModel(game.answer(at)), key)
    np.testing.assert_allclose(value, 0.6 * 0.2, rtol=1e-14)


@pytest.mark.parametrize(
    "game",
    [
        LinearMean(),
        PrevalenceBandit(jnp.array([1.0, 0.9, 0.5])),
        *(pytest.param(g, marks=pytest.mark.slow) for g in (BiasedCoin(), RidgeRegression(), Audit())),
    ],
    ids=lambda game: type(game).__name__,
)
def test_it_keeps_the_contract_of_a_game(game):
    check_game(game)
