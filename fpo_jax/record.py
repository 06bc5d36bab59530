"""What a run records at each entry: scalars by name, computed from the state.

A record is a function of (game, follower, state, key); a user's own is passed to `run` as it is.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from fpo_jax.expect import expect
from fpo_jax.numerics.keys import named_key
from fpo_jax.steering import cosine, norm, steering
from fpo_jax.types import Follower, Game, Key, Scalar, State

Record = Callable[[Game, Follower, State, Key], dict[str, Scalar]]

UNDEFINED = ("steering_cosine",)
"""Metrics that may be NaN, meaning undefined. Any other NaN or infinite metric counts as divergence."""


def defined(metrics: dict[str, Scalar]) -> dict[str, Scalar]:
    """Return the metrics except those in `UNDEFINED`."""
    return {name: value for name, value in metrics.items() if name not in UNDEFINED}


def is_finite(tree: PyTree) -> Array:
    """Say whether all numbers of a pytree are finite."""
    return jnp.all(jnp.array([_all_finite(leaf) for leaf in jax.tree.leaves(tree)]))


def _all_finite(leaf: Array) -> Array:
    # 0 · x is 0 for finite x and NaN otherwise; the sum is as good a test as a conjunction, and faster
    rows = tuple(range(jnp.ndim(leaf) - 1))
    return jnp.all(jnp.isfinite(jnp.sum(0 * leaf, axis=rows)))


def outcome(game: Game, follower: Follower, state: State, key: Key) -> dict[str, Scalar]:
    """Record the outcome: E[U], E[r], their gap E[r] − E[U], blind-spot mass, the game's diagnostics.

    Expectations are over the deployed policy, `Game.deployed`.
    """
    responses = game.deployed(state.theta, key)
    true_utility = expect(game.utility, responses)
    proxy_reward = expect(lambda y: game.reward(state.reward_model.phi, y), responses)
    return {
        "true_utility": true_utility,
        "proxy_reward": proxy_reward,
        "gap": proxy_reward - true_utility,
        "blind_spot_mass": expect(game.blind_spot, responses),
        **game.diagnostics(state.theta),
    }


def full_record(game: Game, follower: Follower, state: State, key: Key) -> dict[str, Scalar]:
    """Record the outcome, and the exact steering part of dF/dθ at the state: its norm and its cosine.

    F foresees one update of the follower here, whatever the horizon of the leader's objective.
    `steering_cosine` is the cosine between the steering and the standard part: −1 where steering opposes
    what iterative RLHF follows; NaN, meaning undefined, where either part is exactly zero.
    """
    decomposition_key, outcome_key = named_key(key, "decomposition"), named_key(key, "outcome")
    parts = steering(game, follower, state.theta, state.reward_model, decomposition_key)
    return {
        **outcome(game, follower, state, outcome_key),
        "steering_norm": norm(parts.steering),
        "steering_cosine": cosine(parts.steering, parts.standard),
    }
