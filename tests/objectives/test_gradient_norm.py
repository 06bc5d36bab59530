"""Gradient regularisation: what it is, and its own gradient."""

import jax
import numpy as np
import pytest

from fpo_jax import BestResponse, Myopic
from fpo_jax.envs.gridworld import Gridworld
from fpo_jax.envs.linear import Linear
from fpo_jax.objectives import GradientNorm
from tests.helpers import SMALL, at_random

FOLLOWER = BestResponse(ridge=0.1, alpha=0.3)


@pytest.mark.parametrize(
    "environment", [SMALL["bandit"], pytest.param(Gridworld(map="S.D / ..G"), marks=pytest.mark.slow)]
)
def test_the_gradient_is_that_of_a_central_difference(environment, key):
    game, theta, model = at_random(environment, FOLLOWER, key)
    objective = GradientNorm(weight=0.7)

    @jax.jit
    def value(t):
        return objective.value(game, FOLLOWER, t, model, key)

    direction = jax.random.normal(jax.random.fold_in(key, 1), theta.shape)
    difference = (value(theta + 1e-5 * direction) - value(theta - 1e-5 * direction)) / 2e-5
    found = np.vdot(objective.estimate(game, FOLLOWER, theta, model, key).gradient, direction)
    np.testing.assert_allclose(found, difference, rtol=1e-7)
    # and the value is J − γ ‖∇J‖², of the gradient that RLHF follows
    free = Myopic().estimate(game, FOLLOWER, theta, model, key).gradient
    myopic = Myopic().value(game, FOLLOWER, theta, model, key)
    np.testing.assert_allclose(value(theta), myopic - 0.7 * np.sum(np.asarray(free) ** 2), rtol=1e-12)


def test_on_a_quadratic_by_hand(key):
    # J = φ·y − 0.1 ‖y‖², ∇J = φ − 0.2 y, H = −0.2 I: the gradient is (1 + 0.4 γ) ∇J.
    game, theta, model = at_random(Linear(dimension=3), FOLLOWER.replace(anchored=True), key)
    found = GradientNorm(weight=0.7).estimate(game, FOLLOWER, theta, model, key).gradient
    np.testing.assert_allclose(found, 1.28 * (model.phi - 0.2 * theta), rtol=1e-12)


def test_weight_0_is_myopic(key):
    game, theta, model = at_random(SMALL["bandit"], FOLLOWER, key)
    objectives = (GradientNorm(weight=0.0), Myopic())
    assert len({float(o.value(game, FOLLOWER, theta, model, key)) for o in objectives}) == 1
    np.testing.assert_array_equal(
        *(o.estimate(game, FOLLOWER, theta, model, key).gradient for o in objectives)
    )
