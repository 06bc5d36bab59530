"""A reward model that would rather believe that there is something good."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import Leader, Myopic, run_seed
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.linear import Linear
from fpo_jax.followers import Converged, OptimisticFit
from fpo_jax.steering import foresighted_value, norm, steering
from fpo_jax.testing.checks import central_difference
from tests.helpers import at_random, relative_error, require_named

ARMS = Bandit(ordinary=3, planted=1)


@pytest.mark.slow
def test_standard_plus_steering_is_the_gradient_of_F(key):
    follower = OptimisticFit(ridge=0.1, alpha=0.3, optimism=0.05, softness=0.5)
    game, theta, model = at_random(ARMS, follower, key)

    @jax.jit
    def both():
        parts = steering(game, follower, theta, model, key)
        difference = central_difference(
            lambda t: foresighted_value(game, follower, t, model, key), theta, 1e-4
        )
        return parts, difference, follower.residual(game, theta, model, key)

    parts, difference, residual = both()
    assert norm(parts.steering) > 1e-3
    # what a search has found is right to 1e-9 or so, and a difference divides that by 2e-4
    assert relative_error(parts.gradient, difference) < 1e-5
    assert residual < 1e-8


def test_the_bonus_is_what_the_best_response_to_each_prompt_is_paid(contextual_state, key):
    # Σ_x ρ(x) τ log mean_y exp(r/τ); as τ → 0 it is Σ_x ρ(x) max_y r
    game, theta, model = contextual_state
    model, phi = model._replace(memory=jnp.zeros(3)), jnp.array([0.3, -0.7, 0.2])
    rewards = np.asarray(game.candidates.features) @ np.asarray(phi)
    rho = np.asarray(game.prompt)

    def bonus(softness):
        plain, ours = (
            of(ridge=0.1, alpha=1.0, **more).loss(game, theta, model, key)(phi)
            for of, more in ((Converged, {}), (OptimisticFit, {"optimism": 2.0, "softness": softness}))
        )
        return (plain - ours) / 2.0

    expected = rho @ (0.3 * np.log(np.mean(np.exp(rewards / 0.3), axis=1)))
    np.testing.assert_allclose(bonus(0.3), expected, rtol=1e-10)
    np.testing.assert_allclose(bonus(1e-7), rho @ rewards.max(axis=1), rtol=1e-5)


@pytest.mark.slow
def test_without_optimism_it_is_the_plain_stationary_point(key):
    plain, ours = (
        at_random(ARMS, of(ridge=0.1, alpha=0.3, **more), key)[2].phi
        for of, more in ((Converged, {}), (OptimisticFit, {"optimism": 0.0}))
    )
    np.testing.assert_array_equal(ours, plain)


def test_it_needs_one_set_of_responses(key):
    require_named(
        "follower = optimistic-fit: must be another one: this environment has no fixed responses",
        lambda: run_seed(Linear(dimension=3), Leader(Myopic()), OptimisticFit(), key, steps=1),
    )
