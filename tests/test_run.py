"""The loop: seeds, keys, entries, divergence, precision."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import (
    Exact,
    Gradient,
    Leader,
    Myopic,
    Practical,
    Relaxed,
    full_record,
    outcome,
    run_seed,
    run_seeds,
    seed_keys,
)
from fpo_jax.engine.runs import first_divergence
from fpo_jax.envs.linear import Linear
from fpo_jax.envs.neural import Neural
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.followers import Optax
from fpo_jax.numerics.keys import named_key
from fpo_jax.run import initial_state, iterate, play
from fpo_jax.types import Trace
from tests.helpers import FOLLOWER, SMALL


def test_seeds_at_once_equal_seeds_one_by_one():
    # To 1e-12 rather than to the last bit: batched reductions may add in another order.
    for name, environment in SMALL.items():
        leader, follower, keys = Leader(Exact()), FOLLOWER[name], seed_keys(5, first_seed=3)
        _, batched = run_seeds(environment, leader, follower, keys, steps=20, record=outcome)
        for i, key in enumerate(keys):
            _, single = run_seed(environment, leader, follower, key, steps=20, record=outcome)
            one_of_them = jax.tree.map(lambda values, i=i: values[i], batched.metrics)
            chex.assert_trees_all_close(one_of_them, single.metrics, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("steps", [1, 2, 120])
def test_entries_are_of_the_same_run_however_many_there_are(key, steps):
    environment, follower, leader = SMALL["bandit"], FOLLOWER["bandit"], Leader(Myopic(), policy_lr=1.0)
    final, trace = run_seed(environment, leader, follower, key, steps=steps, record=outcome, keep_states=True)
    chex.assert_shape([*trace.metrics.values()], (steps + 1,))
    chex.assert_trees_all_equal(jax.tree.map(lambda leaf: leaf[-1], trace.state), final)
    sparse_final, sparse = run_seed(
        environment, leader, follower, key, steps=steps, record=outcome, every=steps, keep_states=True
    )
    ends = jax.tree.map(lambda leaf: leaf[jnp.array([0, -1])], trace)
    chex.assert_trees_all_close((sparse_final, sparse), (final, ends), rtol=1e-12)


def test_a_run_within_another_program_is_the_same(key):
    leader = Leader(Exact(), policy_lr=1.0)
    go = partial(run_seed, SMALL["bandit"], leader, FOLLOWER["bandit"], key, steps=3, record=outcome)
    _, expected = go()
    for _, trace in (jax.jit(go)(), jax.jit(lambda key: go.func(*go.args[:3], key, **go.keywords))(key)):
        chex.assert_trees_all_close(trace, expected, rtol=1e-12)


def test_keys_of_either_kind_and_derivatives_of_a_whole_run():
    def utility(signal, key):
        environment = SMALL["linear"].replace(true_weight_signal=signal)
        _, trace = run_seed(environment, Leader(Myopic()), Gradient(), key, steps=3, record=outcome)
        return trace.metrics["true_utility"][-1]

    typed, raw = jax.random.key(2), jax.random.PRNGKey(2)
    assert utility(1.5, raw) == utility(1.5, typed)
    difference = (utility(1.5 + 1e-5, typed) - utility(1.5 - 1e-5, typed)) / 2e-5
    np.testing.assert_allclose(jax.grad(utility)(1.5, typed), difference, rtol=1e-6)


def test_a_seed_is_the_same_in_any_batch():
    np.testing.assert_array_equal(
        jax.random.key_data(seed_keys(5)[3]), jax.random.key_data(seed_keys(1, first_seed=3)[0])
    )


def test_every_objective_meets_the_same_instance_and_start():
    starts = []
    for objective in (Myopic(), Exact(), Relaxed(), Practical()):
        _, trace = run_seeds(
            SMALL["bandit"],
            Leader(objective),
            FOLLOWER["bandit"],
            seed_keys(3),
            steps=1,
            record=outcome,
            keep_states=True,
        )
        starts.append(jax.tree.map(lambda x: np.asarray(x[:, 0]), (trace.metrics, trace.state)))
    chex.assert_trees_all_equal(*starts)


def test_divergence_is_named_by_seed_and_iteration():
    # A policy step beyond 2 / curvature of the action cost (0.2) makes θ grow without bound, from any seed.
    leader = Leader(Myopic(), policy_lr=100.0)
    _, trace = run_seeds(Linear(), leader, Gradient(), seed_keys(3), steps=300, record=outcome)
    first = first_divergence(trace)
    assert np.all(first > 0)
    for seed, iteration in enumerate(first):
        utility, proxy = trace.metrics["true_utility"][seed], trace.metrics["proxy_reward"][seed]
        assert np.all(np.isfinite([proxy[:iteration], utility[:iteration]]))
        assert not np.isfinite(proxy[iteration])


def test_first_divergence_of_mixed_seeds():
    finite = np.array([[True, True, True], [True, False, False], [True, True, False]])
    trace = Trace(metrics={}, state=None, finite=finite)
    np.testing.assert_array_equal(first_divergence(trace), [-1, 1, 2])


@pytest.mark.parametrize("name", ["bandit", "linear", "gridworld"])  # one of each kind of policy
def test_float32_smoke(name):
    with jax.enable_x64(False):
        environment, leader, follower = resolve({"environment": name, "objective": "exact"}).build()
        _, trace = run_seeds(environment, leader, follower, seed_keys(2), steps=30, record=full_record)
        assert {v.dtype for v in trace.metrics.values()} == {jnp.dtype("float32")}
        assert np.all(trace.finite)


def test_run_may_itself_be_vmapped_over_hyperparameters(key):
    environment, follower = SMALL["linear"], FOLLOWER["linear"]

    def final(weight):
        leader = Leader(Relaxed(weight=weight))
        return run_seed(environment, leader, follower, key, steps=20, record=outcome)[1].metrics[
            "true_utility"
        ][-1]

    weights = jnp.array([0.0, 0.1, 0.2])
    together = jax.vmap(final)(weights)
    for i, weight in enumerate(weights):
        np.testing.assert_allclose(together[i], final(float(weight)), rtol=1e-12)


@pytest.mark.parametrize("every", [1, 2])
def test_a_run_is_the_loop_written_out(every, key):
    # Every draw has a key of its own: by purpose, and by the number of the iteration.
    game, leader = (
        Neural(dimension=2),
        Leader(Practical(weight=0.1), policy_lr=0.05, policy_steps=2),
    )
    follower, steps = Optax(draws=2, buffer_size=4), 4

    def record(game, follower, state, key):
        return {"drawn": jax.random.uniform(key), **outcome(game, follower, state, key)}

    iterated = jax.jit(iterate)
    state = expected = initial_state(game, follower, key)
    entries = []
    for t in range(steps + 1):
        if t % every == 0:
            entry_key = jax.random.fold_in(named_key(key, "record"), t)
            entries.append((record(game.at(t / steps), follower, expected, entry_key), expected.theta))
        if t < steps:
            iteration_key = jax.random.fold_in(named_key(key, "iterations"), t)
            expected = iterated(game, leader, follower, expected, iteration_key, t / steps)
    go = partial(play, steps=steps, record=record, every=every, keep_states=True)
    last, trace = jax.jit(go)(game, leader, follower, state, key)
    chex.assert_trees_all_close(last, expected, rtol=1e-9)
    metrics = jax.tree.map(lambda *x: jnp.stack(x), *(metrics for metrics, _ in entries))
    chex.assert_trees_all_close(trace.metrics, metrics, rtol=1e-9)
    chex.assert_trees_all_close(trace.state.theta, jnp.stack([theta for _, theta in entries]), rtol=1e-9)
