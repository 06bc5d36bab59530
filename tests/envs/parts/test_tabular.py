"""Tabular processes: occupancy however it is computed, the optimum, random processes, bad tables."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpo_jax import BestResponse, Leader, Myopic, outcome, run_seed
from fpo_jax.envs.garnet import Garnet
from fpo_jax.envs.gridworld import Gridworld
from fpo_jax.envs.parts import transitions
from fpo_jax.envs.parts.tabular import TabularGame, from_tables
from fpo_jax.envs.parts.transitions import Branches, Table
from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import validate
from fpo_jax.steering import foresighted_value, steering
from fpo_jax.testing.checks import central_difference

FOLLOWER = BestResponse(ridge=0.1, alpha=0.3)
SIZES = [Garnet(states=s, actions=a, branching=b) for s, a, b in ((5, 2, 2), (12, 3, 3), (30, 4, 5))]


@jax.jit
def drawn(environment, key):
    """An instance, its transitions as a table, its optimum, a policy, and that policy's occupancy."""
    game = environment.draw(key)
    theta = jax.random.normal(key, game.pairs.utility.shape)
    held = game.transitions
    table = held.table() if isinstance(held, Branches) else held
    return game, table.probabilities, game.optimum(), theta, game.respond(theta, key).w.reshape(theta.shape)


def numpy_occupancy(game, table, theta, steps):
    """The occupancy by summing weighted visits step by step."""
    policy = np.exp(theta) / np.exp(theta).sum(axis=1, keepdims=True)
    moves = np.einsum("sa,sat->st", policy, table)
    visits, total, weight, discount = (
        np.asarray(game.start),
        np.zeros(len(game.start)),
        0.0,
        float(game.discount),
    )
    for t in range(steps):
        total += discount**t * visits
        weight += discount**t
        visits = visits @ moves
    return total[:, None] / weight * policy


@pytest.mark.parametrize(
    ("environment", "steps"),
    [
        (Gridworld(), 400),  # 0.9^400 = 5e-19
        (Gridworld(occupancy_solver="iterative"), 400),
        (Gridworld(map="S.#/..D/#.G", discount=0.5), 100),
        (Gridworld(map="S.#/..D/#.G", episode_length=7, discount=1.0), 7),
        (Gridworld(occupancy_solver="iterative", episode_length=12), 12),
        (SIZES[2], 400),
        (SIZES[0].replace(episode_length=1), 1),
    ],
    ids=lambda x: getattr(x, "name", str(x)),
)
def test_occupancy_is_the_weighted_sum_of_visits(environment, steps, key):
    game, table, _, theta, weights = drawn(environment, key)
    np.testing.assert_allclose(jnp.sum(weights), 1.0, rtol=1e-12)
    expected = numpy_occupancy(game, np.asarray(table), np.asarray(theta), steps)
    np.testing.assert_allclose(weights, expected, rtol=1e-9, atol=1e-14)


@jax.jit
def properties(size_game, theta, key):
    """dF/dθ two ways, the same after relabelling the states, and what the flow equation leaves over."""
    game: TabularGame = size_game
    model = FOLLOWER.init(game, theta, jnp.zeros(2), key)

    def F(t):
        return foresighted_value(game, FOLLOWER, t, model, key)

    parts = steering(game, FOLLOWER, theta, model, key)
    order = jax.random.permutation(key, theta.shape[0])
    table = game.transitions.probabilities
    shuffled = game.replace(
        transitions=Table(table[order][:, :, order]),
        start=game.start[order],
        pairs=jax.tree.map(lambda x: x[order], game.pairs),
        covered=game.covered[order],
    )
    shuffled_parts = steering(shuffled, FOLLOWER, theta[order], model, key)
    permuted = jax.tree.map(lambda x: x[order], parts)
    weights = game.occupancy(theta)
    inflow = (1 - game.discount) * game.start + game.discount * jnp.einsum("sa,sat->t", weights, table)
    flow = jnp.sum(weights, axis=1) - inflow
    return parts.gradient, central_difference(F, theta), permuted, shuffled_parts, weights, flow


@settings(max_examples=60, deadline=None)
@given(which=st.sampled_from((0, 2)), seed=st.integers(0, 2**31 - 1))
def test_random_processes(which, seed):
    key = jax.random.key(seed)
    game, table, _, theta, _ = drawn(SIZES[which], key)
    np.testing.assert_allclose(jnp.sum(table, axis=2), 1.0, rtol=1e-13)
    assert np.all(np.sum(np.asarray(table) > 0, axis=2) <= SIZES[which].branching)
    total, difference, permuted, shuffled, weights, flow = properties(game, theta, key)
    np.testing.assert_allclose(total, difference, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(jnp.sum(weights), 1.0, rtol=1e-13)
    np.testing.assert_allclose(flow, 0.0, atol=1e-14)
    for a, b in zip(permuted, shuffled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13)


@pytest.mark.slow
def test_the_iterative_solve_gives_the_same_optimum_and_steering(key):
    game, _, optimum, theta, _ = drawn(SIZES[1], key)
    branches, _, iterative_optimum, _, _ = drawn(SIZES[1].replace(occupancy_solver="iterative"), key)
    np.testing.assert_allclose(iterative_optimum, optimum, rtol=1e-11)

    @jax.jit
    def parts(game):
        return steering(game, FOLLOWER, theta, FOLLOWER.init(game, theta, jnp.zeros(2), key), key)

    for a, b in zip(parts(branches), parts(game), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_an_iterative_solve_that_does_not_converge_is_nan(key, monkeypatch):
    def breaks_down(matvec, right, **options):
        return jnp.full_like(right, jnp.nan), None

    monkeypatch.setattr(transitions, "gmres", breaks_down)
    branches = drawn(Gridworld(occupancy_solver="iterative"), key)[0].transitions
    policy = jnp.full((25, 4), 0.25)
    assert np.all(np.isnan(branches.solve(policy, 0.99, jnp.zeros(25).at[0].set(1.0))))


def test_the_iterative_solve_knows_no_scale(key):
    # (I − γP) 1 = (1 − γ) 1, whatever the policy.
    branches = drawn(Gridworld(occupancy_solver="iterative"), key)[0].transitions
    solve = jax.jit(lambda right: branches.solve(jnp.full((25, 4), 0.25), 0.9, right))
    for size in (1e-30, 1.0, 1e30):
        np.testing.assert_allclose(solve(jnp.full(25, size)), np.full(25, 10.0 * size), rtol=1e-12)
    assert np.all(solve(jnp.zeros(25)) == 0.0)


def test_a_discount_near_1_gives_the_stationary_distribution(key):
    # d − P_πᵀ d = (1 − γ)(ρ − P_πᵀ d), whose right side is at most (1 − γ) in each entry.
    game, table, optimum, _, weights = drawn(SIZES[2].replace(discount=1.0 - 1e-7), key)
    after = np.einsum("sa,sat->t", weights, table)
    np.testing.assert_allclose(after, jnp.sum(weights, axis=1), atol=1e-7)
    np.testing.assert_allclose(jnp.sum(weights), 1.0, rtol=1e-8)
    assert np.sum(weights * game.pairs.utility) <= optimum


def test_the_optimum_is_that_of_the_best_deterministic_policy(key):
    # All 2⁵ deterministic policies; some optimal policy is deterministic.
    game, _, optimum, _, _ = drawn(SIZES[0], key)
    choices = jnp.array(list(product(range(2), repeat=5)))
    thetas = 1e3 * jax.nn.one_hot(choices, 2, dtype=float)
    values = np.sum(
        np.asarray(jax.vmap(game.occupancy)(thetas)) * np.asarray(game.pairs.utility), axis=(1, 2)
    )
    assert max(values) > min(values)
    np.testing.assert_allclose(optimum, max(values), rtol=1e-12)


@pytest.mark.slow
def test_the_optimum_of_an_episode_that_ends(key):
    # By enumeration: in 3 steps, every one of the 2⁵ decision rules at each step, averaged over 3 steps.
    game, table, optimum, _, _ = drawn(SIZES[0].replace(episode_length=3, discount=1.0), key)
    rules = np.array(list(product(range(2), repeat=5)))
    states = np.arange(5)
    best = -np.inf
    for plan in product(range(len(rules)), repeat=3):
        visits, value = np.asarray(game.start), 0.0
        for rule in rules[list(plan)]:
            value += np.sum(visits * np.asarray(game.pairs.utility)[states, rule]) / 3
            visits = visits @ np.asarray(table)[states, rule]
        best = max(best, value)
    np.testing.assert_allclose(optimum, best, rtol=1e-12)


TABLES = {
    "transitions": np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.25, 0.75]]]),
    "features": np.array([[1.0], [2.0]]),
    "utility": np.array([0.0, 1.0]),
}


def test_a_process_from_tables_runs(key):
    # With no planted pair nothing separates proxy from utility but the ridge: the policy seeks state 1,
    # where action 0 stays for good. From a uniform start it is reached, or stayed in, after the first step
    # with the better action's probability 1/2 from state 0: V₁ = 1/(1−γ), V₀ = γ(V₀ + V₁)/2.
    game = from_tables(**TABLES, discount=0.5)
    v1 = 2.0
    v0 = 0.5 * 0.5 * v1 / (1 - 0.5 * 0.5)
    np.testing.assert_allclose(game.optimum(), 0.5 * (v0 + v1) / 2, rtol=1e-12)
    leader = Leader(Myopic(), policy_lr=10.0)
    _, trace = run_seed(game, leader, BestResponse(ridge=0.01), key, steps=200, record=outcome)
    assert trace.metrics["true_utility"][-1] > 0.95 * game.optimum()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"transitions": np.ones((2, 2))}, "transitions = array of shape (2, 2): must be of shape [states, "),
        (
            {"transitions": TABLES["transitions"] * [[[1.0], [0.9]], [[1.0], [1.0]]]},
            "transitions, state 0, action 1 = probabilities summing to 0.9: must be summing to 1",
        ),
        (
            {"transitions": TABLES["transitions"] + [[[0.0, 0.0]] * 2, [[-0.5, 0.5], [0.0, 0.0]]]},
            "transitions, state 1, action 0, successor 0 = -0.5: must be a probability, >= 0",
        ),
        ({"utility": np.zeros(3)}, "utility = array of shape (3,): must be of shape [2, 2] or [2], as"),
        ({"utility": np.array([0.0, np.nan])}, "utility, state 1, action 0 = nan: must be finite"),
        ({"features": np.zeros((2, 3, 1))}, "features = array of shape (2, 3, 1): must be of shape [2, 2, f"),
        ({"planted": np.array([0.0, 1.5])}, "planted, state 1, action 0 = 1.5: must be in [0, 1]"),
        ({"planted": np.ones(2)}, "planted = nowhere 0: must be 0 for the pairs that offline data cover, or"),
        ({"start": np.ones(3) / 3}, "start = array of shape (3,): must be of shape (2,)"),
        ({"start": np.array([0.5, 0.6])}, "start = probabilities summing to 1.1: must be summing to 1"),
        ({"covered": np.ones((2, 2))}, "covered = probabilities summing to 4: must be summing to 1"),
        ({"discount": 1.0}, "discount = 1.0: must be in [0, 1); 1 only with an episode_length > 0"),
        ({"discount": -0.1}, "discount = -0.1: must be in [0, 1)"),
        ({"discount": 1.1, "episode_length": 3}, "discount = 1.1: must be in [0, 1]"),
        ({"discount": "0.9"}, "discount = 0.9: must be in [0, 1)"),
        ({"temperature": -1.0}, "temperature = -1.0: must be a finite number >= 0"),
        ({"covered": np.array([[0.5, 0.5], [0.5, -0.5]])}, "covered, state 1, action 1 = -0.5"),
        ({"episode_length": -1}, "episode_length = -1: must be an integer >= 0"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_bad_tables(wrong, message):
    with pytest.raises(InputError) as caught:
        from_tables(**{**TABLES, **wrong})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_game_put_together_by_hand_is_checked_before_a_run(key):
    game = from_tables(**TABLES)
    broken = game.replace(transitions=Table(2.0 * game.transitions.probabilities))
    with pytest.raises(InputError, match="transitions, state 0, action 0 = probabilities summing to 2"):
        run_seed(broken, Leader(Myopic()), FOLLOWER, key, steps=1)
    far = Branches(jnp.array([[[0], [2]]] * 2), jnp.ones((2, 2, 1)))
    with pytest.raises(InputError, match=r"transitions, state 0, action 1 = 2: must be a state in \[0, 2\)"):
        validate(game.replace(transitions=far))
