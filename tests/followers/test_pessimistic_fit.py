"""A best response that pays for reward above a reference's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import (
    BestResponse,
    Implicit,
    Leader,
    Myopic,
    Preferences,
    outcome,
    run_seed,
    run_seeds,
    seed_keys,
)
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.linear import Linear
from fpo_jax.errors import InputError
from fpo_jax.followers import PessimisticFit
from fpo_jax.objectives import EffectiveReward
from fpo_jax.steering import foresighted_value, norm, steering
from fpo_jax.testing.checks import central_difference
from tests.helpers import at_random, compilations, parts_and_difference, relative_error, require_named

ARMS = Bandit(ordinary=5, planted=2)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_standard_plus_steering_is_the_gradient_of_F(alpha, key):
    follower = PessimisticFit(ridge=0.1, alpha=alpha, pessimism=0.2)
    game, theta, model = at_random(ARMS, follower, key)

    @jax.jit
    def ways():
        parts = steering(game, follower, theta, model, key)
        implicit = Implicit().estimate(game, follower, theta, model, key).gradient
        difference = central_difference(lambda t: foresighted_value(game, follower, t, model, key), theta)
        return parts, implicit, difference

    parts, implicit, difference = ways()
    assert norm(parts.steering) > 1e-3
    assert relative_error(parts.gradient, difference) < 1e-6
    assert relative_error(parts.gradient, implicit) < 1e-10
    assert follower.residual(game, theta, model, key) < 1e-12


@pytest.mark.slow
def test_standard_plus_steering_is_the_gradient_of_F_on_preferences(contextual_state, key):
    game, theta, _ = contextual_state
    follower = PessimisticFit(ridge=0.1, alpha=0.3, pessimism=0.2, feedback=Preferences())
    model = jax.jit(follower.init)(game, theta, jnp.zeros(3), key)
    parts, difference = parts_and_difference(game, follower, theta, model, key)
    assert relative_error(parts.gradient, difference) < 1e-6


def test_the_fit_is_that_of_the_normal_equations_moved(key):
    # 2 (Σ μ g gᵀ + λ) φ = 2 Σ μ U g − η (E_π[g] − E_ref[g]), the reference being the offline data
    follower = PessimisticFit(ridge=0.1, alpha=0.3, pessimism=0.4)
    game, theta, model = at_random(ARMS, follower, key)
    g, u = np.asarray(game.arms.features), np.asarray(game.arms.quality)
    pi, reference = np.asarray(jax.nn.softmax(theta)), np.asarray(game.offline().w)
    mu = 0.7 * reference + 0.3 * pi
    right = g.T @ (mu * u) - 0.2 * (pi - reference) @ g
    left = (g.T * mu) @ g + 0.1 * np.eye(2)
    np.testing.assert_allclose(model.phi, np.linalg.solve(left, right), rtol=1e-11)


def test_without_pessimism_it_is_the_plain_best_response(key):
    plain, ours = (
        at_random(ARMS, of(ridge=0.1, alpha=0.3, **more), key)[2].phi
        for of, more in ((BestResponse, {}), (PessimisticFit, {"pessimism": 0.0}))
    )
    np.testing.assert_array_equal(ours, plain)


def test_another_pessimism_compiles_nothing():
    def run(pessimism):
        follower = PessimisticFit(ridge=0.1, alpha=0.3, pessimism=pessimism)
        leader = Leader(Myopic(), policy_lr=1.0)
        _, trace = run_seeds(ARMS, leader, follower, seed_keys(2), steps=3, record=outcome)
        return np.asarray(trace.metrics["true_utility"])

    first = run(0.1)
    with compilations() as compiled:
        assert np.all(run(0.5)[:, -1] != first[:, -1])
    assert compiled == []


def test_what_it_cannot_be(key):
    leader = Leader(Myopic(), policy_lr=0.02)
    require_named(
        "follower = pessimistic-fit: must be another one: this environment has no reference policy",
        lambda: run_seed(Linear(dimension=3), leader, PessimisticFit(ridge=0.1), key, steps=1),
    )
    game, theta, model = at_random(ARMS, PessimisticFit(ridge=0.1, alpha=0.3), key)
    with pytest.raises(InputError, match="must be one that depends on the policy only through its items"):
        EffectiveReward().estimate(game, PessimisticFit(ridge=0.1, alpha=0.3), theta, model, key)
