"""The game of prompts and candidates: its policy against the reference."""

import jax.numpy as jnp
import numpy as np

from fpo_jax.envs.parts.contextual_game import from_tables

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
