"""The loop: seeds, keys, records, recompilation, divergence, precision."""

import os
import subprocess
import sys
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import (
    BestResponse,
    Exact,
    ForwardDifference,
    Gradient,
    InputError,
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
from fpo_jax.engine.initial import begin, in_double, instance
from fpo_jax.engine.lanes import apart, together
from fpo_jax.engine.simulate import first_divergence
from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.gridworld import Gridworld
from fpo_jax.envs.linear import Linear
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.followers import Converged
from fpo_jax.objectives.penalties import Fpo
from fpo_jax.record import defined, is_finite
from fpo_jax.types import RewardModel, State, Trace
from tests.helpers import compilations

SMALL = {"bandit": Bandit(ordinary=5, planted=2), "linear": Linear(dimension=6)}
FOLLOWER = {"bandit": BestResponse(ridge=0.1, alpha=0.3), "linear": Gradient()}


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
    # Chunks of 1 and 4 iterations: divisors of the steps up to 4, where there are so few.
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


def test_what_all_lanes_share_stands_once():
    lanes = jnp.arange(3.0)
    shared, own = apart(lambda lane: {"same": jnp.ones(2), "own": lane**2, "none": None}, lanes)
    chex.assert_trees_all_equal(shared, {"same": jnp.ones(2), "own": None, "none": None})
    chex.assert_trees_all_equal(own, {"same": None, "own": lanes**2, "none": None})
    whole = jax.vmap(lambda own: together(shared, own))(own)
    chex.assert_trees_all_equal(whole, {"same": jnp.ones((3, 2)), "own": lanes**2, "none": None})
    shared, own = apart(lambda lane: jnp.ones(2), lanes)
    chex.assert_trees_all_equal((shared, own), (jnp.ones(2), None))


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


LINEAR, BANDIT = SMALL["linear"], SMALL["bandit"]
CHANGES = {
    "weight": [(LINEAR, Leader(Relaxed(weight=w)), Gradient()) for w in (0.1, 0.2, 1, 0)],
    "policy_lr": [(LINEAR, Leader(Relaxed(), policy_lr=lr), Gradient()) for lr in (0.02, 0.03)],
    "rm_lr": [(LINEAR, Leader(Myopic()), Gradient(rm_lr=lr)) for lr in (0.01, 0.02)],
    "weight_decay": [(LINEAR, Leader(Myopic()), Gradient(weight_decay=d)) for d in (0.0, 0.1)],
    "alpha": [(BANDIT, Leader(Exact()), BestResponse(ridge=0.1, alpha=a)) for a in (0.1, 0.3, 1)],
    "ridge": [(BANDIT, Leader(Exact()), BestResponse(ridge=r, alpha=0.5)) for r in (0.1, 1, 0.001)],
    "difference_step": [
        (LINEAR, Leader(Myopic(), differentiator=ForwardDifference(difference_step=h)), Gradient())
        for h in (0.1, 0.2)
    ],
    "arm of the paper": [
        (LINEAR, Leader(Fpo(weight=w, oracle=o)), Gradient()) for w, o in ((0.0, 1.0), (0.1, 1.0), (0.1, 0.0))
    ],
    "temperature": [
        (BANDIT.replace(temperature=t), Leader(Myopic()), BestResponse(ridge=0.1)) for t in (0.1, 0.2)
    ],
}


@pytest.mark.parametrize("changing", CHANGES)
def test_nothing_is_compiled_again_when_a_number_changes(changing):
    go = partial(run_seeds, keys=seed_keys(jax.local_device_count() + 1), steps=3, record=outcome)
    first, *others = CHANGES[changing]
    go(*first)
    with compilations() as names:
        for players in others:
            go(*players)
    assert names == []


def test_a_program_traces_its_record_once_and_another_length_is_another_program():
    record = chex.assert_max_traces(outcome, n=1)
    go = partial(run_seeds, LINEAR, Leader(Myopic()), Gradient(), seed_keys(3), record=record)
    with compilations() as names:
        go(steps=3)
    assert names  # which the test above would see
    go(steps=3)
    with pytest.raises(AssertionError, match="'outcome' is traced > 1 times"):
        go(steps=4)


def test_record_sees_what_it_says(key):
    environment, follower = SMALL["bandit"], FOLLOWER["bandit"]
    _, trace = run_seed(
        environment, Leader(Exact(), policy_lr=1.0), follower, key, steps=10, keep_states=True
    )
    metrics = trace.metrics
    chex.assert_shape([*metrics.values()], (11,))
    np.testing.assert_allclose(metrics["gap"], metrics["proxy_reward"] - metrics["true_utility"])
    assert metrics["kl"][0] == pytest.approx(0.0, abs=1e-15)  # the first policy is the reference itself
    assert metrics["blind_spot_mass"][0] == pytest.approx(2 / 7)  # uniform on 5 ordinary, 2 planted arms
    assert np.all((metrics["steering_cosine"] >= -1) & (metrics["steering_cosine"] <= 1))
    policy = jax.nn.softmax(trace.state.theta, axis=1)
    np.testing.assert_allclose(policy[:, 5:].sum(axis=1), metrics["blind_spot_mass"], rtol=1e-12)


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


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_one_number_that_is_not_finite_is_seen_wherever_it_stands(bad):
    state = State(
        jnp.ones(3), RewardModel(jnp.ones((2, 2)), (jnp.asarray(4), jnp.ones((2, 3, 1)), jnp.ones(())))
    )
    assert is_finite((state, defined({"steering_cosine": jnp.nan, "gap": 1e300})))
    assert not is_finite((state, defined({"gap": jnp.asarray(bad)})))
    leaves, structure = jax.tree.flatten(state)
    for i, leaf in enumerate(leaves):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            changed = leaf.ravel().at[-1].set(bad).reshape(leaf.shape)
            assert not is_finite(structure.unflatten([*leaves[:i], changed, *leaves[i + 1 :]]))


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


THREE_DEVICES = """
import sys
from functools import partial
from pathlib import Path
import jax, numpy
from fpo_jax.envs.linear import Linear
from fpo_jax.experiments.core import programs
from fpo_jax import Gradient, Leader, Myopic, run_seeds, seed_keys
from fpo_jax.engine.simulate import run_by
jax.config.update("jax_enable_x64", True)
devices = jax.local_devices()
assert len(devices) == 3
players = Linear(dimension=6), Leader(Myopic(), policy_lr=0.02), Gradient()
_, four = run_seeds(*players, seed_keys(4), steps=20)
programs.keep_in(Path(sys.argv[1]))
begun, _, two = run_by(partial(programs.call_kept, "two"), *players, seed_keys(2), devices=devices, steps=20)
assert begun.first.finite.sharding.num_devices == 2
numpy.savez(sys.argv[2], **{f"{number} {name}": values
    for number, trace in ((4, four), (2, two)) for name, values in trace.metrics.items()})
"""


def test_three_devices_give_what_one_gives(tmp_path):
    # Four seeds on three devices: two are padded, and taken off again. Two seeds, by kept programs, on two of
    # them. Vector loops may round differently.
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "3"}
    path = tmp_path / "three.npz"
    subprocess.run(
        [sys.executable, "-c", THREE_DEVICES, tmp_path / "kept", path], env=environment, check=True
    )
    leader = Leader(Myopic(), policy_lr=0.02)
    _, trace = run_seeds(Linear(dimension=6), leader, Gradient(), seed_keys(4), steps=20)
    three = np.load(path)
    for name, values in trace.metrics.items():
        for number in (4, 2):
            np.testing.assert_allclose(three[f"{number} {name}"], values[:number], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", sorted(ENVIRONMENTS))
def test_a_seed_means_the_same_instance_and_start_in_either_precision(name):
    # Drawn in double precision and cast: the same numbers to 24 bits, where single ones are other numbers.
    small = {
        "language": {"vocabulary": 6, "prompts": 1, "length": 2, "corpus": 8},
        "gridworld": {"walls": 0.3},
    }
    environment = ENVIRONMENTS[name](**small.get(name, {}))
    follower = BestResponse(ridge=0.1) if name != "neural" else Gradient()
    keys = seed_keys(3)

    def drawn(precision):
        with jax.enable_x64(precision == "float64"), in_double((environment, keys)) as told:
            assert told == precision
            return begin(environment, follower, keys, None, devices=(jax.devices()[0],), precision=told)

    double, single = map(drawn, ("float64", "float32"))
    for wide, narrow in zip(jax.tree.leaves(double), jax.tree.leaves(single), strict=True):
        if jnp.issubdtype(wide.dtype, jnp.floating):
            assert (wide.dtype, narrow.dtype) == (jnp.float64, jnp.float32)
            np.testing.assert_array_equal(np.asarray(wide, np.float32), narrow)
        else:
            np.testing.assert_array_equal(wide, narrow)


def test_an_instance_drawn_by_hand_is_that_of_a_run(key):
    with jax.enable_x64(False):
        game = instance(Bandit(), key)
        _, trace = run_seed(Bandit(), Leader(Myopic()), BestResponse(ridge=0.1, alpha=0.3), key, steps=1)
        assert game.arms.quality.dtype == jnp.float32
        np.testing.assert_allclose(trace.metrics["true_utility"][0], game.arms.quality.mean(), rtol=1e-6)
    wide = instance(Bandit(), key)
    np.testing.assert_array_equal(np.asarray(wide.arms.quality, np.float32), game.arms.quality)


def test_an_arm_without_utility_is_named_and_not_the_follower(key):
    game = Bandit(ordinary=4, planted=2).draw(key)
    for bad in (np.nan, np.inf):
        broken = game.replace(arms=game.arms._replace(quality=game.arms.quality.at[3].set(bad)))
        with pytest.raises(InputError, match=rf"utility\(y\), response 3 = {bad}: must be finite"):
            run_seed(broken, Leader(Myopic()), BestResponse(ridge=0.1, alpha=0.3), key, steps=1)


def test_a_float32_optimum_near_discount_1_is_that_of_double_precision():
    # Policy iteration in float32 stops at a poor policy there, which runs pass by a fifth.
    keys = seed_keys(4)
    environment, follower = Gridworld(discount=0.9999), BestResponse(ridge=0.1)
    optima = []
    for wide in (True, False):
        with jax.enable_x64(wide), in_double(()) as precision:
            devices = (jax.devices()[0],)
            begun = begin(environment, follower, keys, None, devices=devices, precision=precision)
            optima.append(np.asarray(begun.optimum))
    np.testing.assert_allclose(*optima, rtol=1e-7)


def test_an_instance_that_cannot_be_drawn_in_double_precision_is_told():
    # within what is traced in float32 it is another one than outside
    with jax.enable_x64(False):
        leader, follower = Leader(Myopic()), BestResponse(ridge=0.1, alpha=0.3)
        with pytest.warns(UserWarning, match="an instance is drawn in float32: another one than outside"):
            jax.jit(lambda key: run_seed(Bandit(), leader, follower, key, steps=1)[1])(jax.random.key(0))
        game = instance(Bandit(), jax.random.key(0))
        assert game.arms.quality.dtype == jnp.float32


def test_a_follower_that_keeps_its_promise_in_double_precision_only_is_refused_in_single(key):
    # ‖∂L/∂φ‖ <= 1e-11 is out of reach of float32, whose rounding here is some 1e-9
    follower = Converged(alpha=0.3, ridge=0.1, gradient_norm=1e-11)
    with (
        jax.enable_x64(False),
        pytest.raises(InputError, match="follower = Converged: must be one that reaches its best response"),
    ):
        run_seed(Bandit(ordinary=4, planted=2), Leader(Myopic()), follower, key, steps=2)
