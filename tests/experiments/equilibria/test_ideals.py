"""What equilibria are compared with, where it is known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from fpo_jax.envs.bandit import Bandit
from fpo_jax.experiments.equilibria.ideals import best_policy, distance, optimal_policy
from fpo_jax.testing.performative import Audit, World

KEY = jax.random.key(7)


@pytest.mark.slow
def test_the_best_policy_of_a_bandit_is_a_softmax_of_quality():
    # E[U] − τ KL(π ‖ uniform) is largest at π ∝ exp(U / τ), whatever the reward model
    game = Bandit(ordinary=4, planted=2, temperature=0.1).draw(KEY)
    best = best_policy(game, jnp.zeros(6), KEY)
    np.testing.assert_allclose(softmax(best), softmax(game.arms.quality / 0.1), atol=1e-10)


@pytest.mark.slow
def test_the_optimal_equilibrium_of_an_audit_is_its_closed_form():
    # π κ-audited: F = π(1 − κπ) is largest at 1 / (2κ) = 3/8 (docs/explanation/equilibria.md)
    optimal = optimal_policy(Audit(), World(), [jnp.zeros(2)], KEY)
    np.testing.assert_allclose(softmax(optimal)[1], 3 / 8, atol=1e-9)


def test_distance_is_the_total_variation_of_policies():
    game = Bandit(ordinary=4, planted=2).draw(KEY)
    arms = 40.0 * jnp.eye(6)
    assert distance(game, arms[0], arms[1], KEY) == pytest.approx(1.0)
    # uniform against one arm: ½ (5 · 1/6 + 5/6) = 5/6
    assert distance(game, jnp.zeros(6), arms[0], KEY) == pytest.approx(5 / 6)
    assert np.isnan(distance(game, None, arms[0], KEY))
