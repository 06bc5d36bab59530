"""Runs on a GPU held to the same on the CPU: `make gpu`, which `make gpu DEVICE=cpu` rehearses without one.

Both devices get the same keys, so that they meet the same instances, starts and noise. What is left is
rounding. Its size is measured on the CPU, as the difference of runs in float32 from runs in float64. A GPU
rounds as often, but in another order.
"""

import os
from contextlib import contextmanager
from functools import cache

import chex
import jax
import numpy as np
import pytest

from fpo_jax import outcome, seed_keys
from fpo_jax.engine.checks import call_program
from fpo_jax.engine.initial import at_precision, instance
from fpo_jax.engine.runs import run_by
from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.parity.recorded_game import Noise, replay
from fpo_jax.run import initial_state

SEEDS, STEPS = 8, 12
RUNS = {  # one of each kind of policy and of follower
    "bandit": "exact",
    "linear": "relaxed",
    "gridworld": "exact",
    "neural": "proximal",  # the exact one draws data that it foresees, other data in either precision
}
ROOM = 20.0
"""Most that a GPU may differ from the CPU, over the CPU's own rounding: twice, since both are off, and ten
times, since a GPU's exponential and logarithm may be off by several roundings where the CPU's are by one."""
COARSER = {"highest": 1.0, "default": 2.0**13}
"""Rounding of a matrix product over that of float32: a GPU may multiply in TF32, of 11 bits, not 24."""


@pytest.fixture(scope="module")
def device():
    """The device that is held to the CPU."""
    try:
        return jax.devices(os.environ.get("TEST_DEVICE", "gpu"))[0]
    except RuntimeError:
        pytest.skip("JAX finds no GPU here; `make gpu DEVICE=cpu` rehearses this on the CPU")


@pytest.fixture(scope="module")
def cpu():
    return jax.devices("cpu")[0]


@contextmanager
def computing(device, precision):
    with jax.default_device(device), jax.enable_x64(precision == "float64"):
        yield


@pytest.mark.parametrize("name", sorted(ENVIRONMENTS))
def test_a_key_is_the_same_instance_and_start(name, device, cpu, key):
    def drawn(device):
        with computing(device, "float64"):
            game = jax.jit(instance)(ENVIRONMENTS[name](), key)
            start = jax.jit(lambda game: game.init(key))(game)
            return jax.device_get(jax.tree.leaves((game, start)))

    # random bits are the same, and what is made of them to some thousand roundings of float64
    for there, here in zip(drawn(device), drawn(cpu), strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("precision", "rounding"), [("float32", 2.0**-24), ("float64", 2.0**-53)])
def test_a_key_is_the_same_noise(precision, rounding, device, cpu, key):
    def drawn(device):
        with computing(device, precision):
            return jax.device_get((jax.random.bits(key, (999,)), jax.random.normal(key, (999,))))

    (bits, normal), (same_bits, same_normal) = drawn(device), drawn(cpu)
    np.testing.assert_array_equal(bits, same_bits)
    assert normal.dtype == precision
    # a normal number is a polynomial of some ten terms in a logarithm of the bits
    np.testing.assert_allclose(normal, same_normal, rtol=100 * rounding)


@pytest.mark.parametrize("products", COARSER)
@pytest.mark.parametrize("name", RUNS)
def test_runs_in_float32_are_those_of_the_cpu(name, products, device, cpu):
    exact, here = (metrics(name, cpu, precision, "highest") for precision in ("float64", "float32"))
    there = metrics(name, device, "float32", products)
    for metric, values in exact.items():
        rounding = max(np.abs(here[metric] - values).max(), np.finfo("float32").eps * np.abs(values).max())
        assert ROOM * rounding < 0.01 * np.ptp(values), "what the runs do is lost in rounding"
        allowed = ROOM * COARSER[products] * rounding
        np.testing.assert_allclose(there[metric], here[metric], rtol=0, atol=allowed, err_msg=metric)


@cache
def metrics(name, device, precision, products):
    """Return what runs record, [seed, entry]; noise comes from outside, since a precision draws its own."""
    environment, leader, follower = resolve({"environment": name, "objective": RUNS[name]}).build()
    samples = hasattr(follower, "draws")
    with computing(device, "float64"):
        outside = starts_and_noise(environment, leader, follower) if samples else None
    with computing(device, precision), jax.default_matmul_precision(products):
        if samples:
            found = replayed(leader, follower, *at_precision(outside, precision))
        else:
            players = environment, leader, follower, seed_keys(SEEDS)
            found = run_by(call_program, *players, devices=(device,), steps=STEPS, record=outcome)[2].metrics
    assert all(values.devices() == {device} for values in found.values())
    chex.assert_tree_shape_prefix(found, (SEEDS, STEPS if samples else STEPS + 1))
    assert {values.dtype.name for values in found.values()} == {precision}
    return jax.device_get(found)


def replayed(leader, follower, starts, noise):
    """Return what runs from these starts, with this noise, record, [seed, iteration]."""

    def one(start):
        game, *parameters = start
        state = initial_state(game, follower, jax.random.key(0), tuple(parameters))
        return replay(game, leader, follower, state, noise)[0]

    return jax.jit(jax.vmap(one))(starts)


def starts_and_noise(environment, leader, follower):
    """Return instances with their first parameters, [seed], and noise of all iterations."""
    starts = jax.vmap(lambda key: (environment, *environment.init(key)))(seed_keys(SEEDS))
    policy_key, data_key = jax.random.split(jax.random.key(1))
    shape = environment.responses, environment.dimension
    policy = jax.random.normal(policy_key, (STEPS, leader.policy_steps, *shape))
    return starts, Noise(policy, jax.random.normal(data_key, (STEPS, follower.draws, *shape)))
