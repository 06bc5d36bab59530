"""The game of prompts and candidates: its policy against the reference."""

import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax.envs.parts.contextual_game import from_tables
from tests.helpers import require_named

FEATURES, UTILITY = np.ones((2, 3, 2)), np.full((2, 3), 0.5)


def test_kl_is_to_the_reference_policy(contextual_state, key):
    # Σ_x ρ(x) Σ_a π (log π − log π_ref), with a reference that is far from uniform
    _, theta, _ = contextual_state
    game = from_tables(
        jnp.ones((2, 3, 1)), UTILITY, reference=[[0.7, 0.2, 0.1], [0.05, 0.05, 0.9]], kl_weight=0.3
    )
    reference = np.exp(game.log_reference)
    policy = reference * np.exp(theta)
    policy /= policy.sum(axis=1, keepdims=True)
    kl = np.mean(np.sum(policy * np.log(policy / reference), axis=1))
    np.testing.assert_allclose(game.diagnostics(theta)["kl"], kl, rtol=1e-12)
    np.testing.assert_allclose(game.cost(theta, game.respond(theta, key)), 0.3 * kl, rtol=1e-12)
    np.testing.assert_allclose(game.diagnostics(0 * theta)["kl"], 0.0, atol=1e-15)


EVEN = [[1 / 3] * 3] * 2
BAD = {
    "comparison 1 = of a response with itself": lambda key: from_tables(
        np.arange(12.0).reshape(2, 3, 2), UTILITY, comparisons=[(0, 1, 2, 0.9), (1, 2, 2, 0.5)]
    ),
    "comparison 0, preferred = 1.0: must be a probability in (0, 1)": lambda key: from_tables(
        np.arange(12.0).reshape(2, 3, 2), UTILITY, comparisons=[(0, 1, 2, 1.0)]
    ),
    "comparison 1 = (1, 2, 3): must be": lambda key: from_tables(
        FEATURES, UTILITY, comparisons=[(0, 1, 2, 0.9), (1, 2, 3, 0.5)]
    ),
    "comparisons = of shape (0,): must be one or more": lambda key: from_tables(
        FEATURES, UTILITY, comparisons=[]
    ),
    "reference, prompt 1, response 0 = 0.0: must be > 0": lambda key: from_tables(
        FEATURES, UTILITY, reference=[EVEN[0], [0.0, 0.5, 0.5]]
    ),
    "reference, prompt 1 = summing to 1.5: must be": lambda key: from_tables(
        FEATURES, UTILITY, reference=[EVEN[0], [0.5, 0.5, 0.5]]
    ),
    "offline data, prompt 1 = empty": lambda key: from_tables(
        FEATURES, UTILITY, covered=[EVEN[0], [0.0, 0.0, 0.0]]
    ),
}


@pytest.mark.parametrize("complaint", BAD)
def test_bad_input(complaint, key):
    require_named(complaint, lambda: BAD[complaint](key))
