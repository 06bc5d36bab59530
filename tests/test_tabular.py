"""Tabular processes: occupancy, the reachable optimum, and the makers' instances."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.garnet import Garnet
from envs.gridworld import MOVES, Gridworld
from envs.tabular import TabularGame
from fpo_jax import BestResponse, Exact, Leader, Myopic, outcome, run_seeds, seed_keys, steering
from fpo_jax.steering import foresighted_value
from fpo_jax.testing import central_difference

FOLLOWER = BestResponse(ridge=0.1, alpha=0.3)
SIZES = [Garnet(states=s, actions=a, branching=b) for s, a, b in ((5, 2, 2), (12, 3, 3), (30, 4, 5))]


def numpy_occupancy(game, theta):
    """The occupancy by summing discounted visits step by step, until they no longer matter."""
    policy = np.exp(theta) / np.exp(theta).sum(axis=1, keepdims=True)
    moves = np.einsum("sa,sat->st", policy, np.asarray(game.transitions))
    visits, total = np.asarray(game.start), np.zeros(len(game.start))
    for t in range(400):  # 0.9^400 = 5e-19
        total += (1 - 0.9) * 0.9**t * visits
        visits = visits @ moves
    return total[:, None] * policy


@pytest.mark.parametrize("environment", [Gridworld(), *SIZES], ids=repr)
def test_occupancy_is_the_discounted_sum_of_visits(environment, key):
    game = environment.draw(key)
    theta = jax.random.normal(key, game.pairs.utility.shape)
    weights = game.respond(theta, key).w
    np.testing.assert_allclose(jnp.sum(weights), 1.0, rtol=1e-13)
    expected = numpy_occupancy(game, np.asarray(theta))
    np.testing.assert_allclose(weights.reshape(theta.shape), expected, rtol=1e-10)


@jax.jit
def properties(size_game, theta, key):
    """dF/dθ two ways, and the same after relabelling the states."""
    game: TabularGame = size_game
    model = FOLLOWER.init(game, theta, jnp.zeros(2), key)

    def F(t):
        return foresighted_value(game, FOLLOWER, t, model, key)

    parts = steering(game, FOLLOWER, theta, model, key)
    order = jax.random.permutation(key, theta.shape[0])
    shuffled = game.replace(
        transitions=game.transitions[order][:, :, order],
        start=game.start[order],
        pairs=jax.tree.map(lambda x: x[order], game.pairs),
        covered=game.covered[order],
    )
    shuffled_parts = steering(shuffled, FOLLOWER, theta[order], model, key)
    permuted = jax.tree.map(lambda x: x[order], parts)
    return parts.total, central_difference(F, theta), permuted, shuffled_parts


@settings(max_examples=60, deadline=None)
@given(which=st.integers(0, len(SIZES) - 1), seed=st.integers(0, 2**31 - 1))
def test_random_processes(which, seed):
    key = jax.random.key(seed)
    game = SIZES[which].draw(key)
    np.testing.assert_allclose(jnp.sum(game.transitions, axis=2), 1.0, rtol=1e-13)
    assert np.all(np.sum(np.asarray(game.transitions) > 0, axis=2) <= SIZES[which].branching)
    theta = jax.random.normal(key, game.pairs.utility.shape)
    total, difference, permuted, shuffled = properties(game, theta, key)
    np.testing.assert_allclose(total, difference, rtol=1e-6, atol=1e-9)
    for a, b in zip(permuted, shuffled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13)


def test_the_optimum_is_that_of_the_best_deterministic_policy(key):
    # All 2⁵ deterministic policies; some optimal policy is deterministic.
    game = SIZES[0].draw(key)
    values = []
    for actions in product(range(2), repeat=5):
        weights = game.occupancy(1e3 * jax.nn.one_hot(jnp.array(actions), 2, dtype=float))
        values.append(float(jnp.sum(weights * game.pairs.utility)))
    assert max(values) > min(values)
    np.testing.assert_allclose(game.optimum(), max(values), rtol=1e-12)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.1, 3), (0.25, 7), (0.5, 15), (0.999, 29)])
def test_garnet_plants_the_share_it_is_told(share, expected, key):
    # of 30 states, rounded to the nearest (7.5 down), at least one ordinary
    game = Garnet(states=30, planted_share=share).draw(key)
    planted = np.asarray(game.pairs.planted[:, 0])
    assert planted.sum() == expected
    style, quality = game.pairs.features[:, 0, 0], np.asarray(game.pairs.utility[:, 0])
    assert np.all((style >= 2.0) == (planted == 1))
    assert np.all(quality[planted == 1] <= 0.2)


def test_gridworld_as_described(key):
    game = Gridworld(slip=0.2).draw(key)
    planted, utility = np.asarray(game.pairs.planted[:, 0]), np.asarray(game.pairs.utility[:, 0])
    assert planted.sum() == 3
    assert planted[0] == planted[-1] == 0  # neither start nor goal
    assert np.all(utility[planted == 1] == 0)
    assert utility[-1] == 1.0  # exp(0) at the goal
    for cell in np.flatnonzero(planted == 0):
        squared = (cell // 5 - 4) ** 2 + (cell % 5 - 4) ** 2
        features = [0.3 * np.exp(-squared / 8), np.exp(-squared / 6)]
        np.testing.assert_allclose(game.pairs.features[cell, 0], features, rtol=1e-14)
    assert np.all(np.asarray(game.pairs.features[planted == 1, :, 1]) == 2.0)
    # from the upper left corner "up" and "left" stay; slip 0.2 spreads over four directions, 0.05 each
    up = np.asarray(game.transitions[0, MOVES.index((-1, 0))])
    np.testing.assert_allclose(up[[0, 1, 5]], [0.8 + 2 * 0.05, 0.05, 0.05], rtol=1e-14)
    np.testing.assert_allclose(up.sum(), 1.0, rtol=1e-14)
    assert np.asarray(game.offline().w).reshape(25, 4)[planted == 1].sum() == 0


def test_gridworld_collapses_without_steering_and_not_with_it():
    # The claim's own bounds: below 5 % of the reachable optimum against above 90 % of it.
    reached = {}
    keys = seed_keys(4)
    for objective in (Myopic(), Exact()):
        leader = Leader(objective, policy_lr=10.0)
        _, trace = run_seeds(Gridworld(), leader, FOLLOWER, keys, steps=1000, record=outcome)
        reached[type(objective)] = float(trace.metrics["true_utility"][:, -1].mean())
    optimum = float(jax.vmap(lambda key: Gridworld().draw(key).optimum())(keys).mean())
    assert reached[Myopic] < 0.05 * optimum
    assert 0.9 * optimum < reached[Exact] <= optimum
