"""Sweeps: lanes of one program equal runs one by one, whatever the chunks and the devices."""

import os
import subprocess
import sys
from functools import partial

import chex
import jax
import numpy as np
import pytest

from fpo_jax import Exact, Gradient, Leader, Myopic, Practical, Relaxed, outcome, run_seed
from fpo_jax.engine import sweep as sweeps
from fpo_jax.engine.sweep import Cell, Sweep, programs_compiled
from fpo_jax.envs.linear import Linear
from fpo_jax.errors import InputError
from fpo_jax.objectives import Fpo

STEPS, SEEDS = 6, (3, 5, 8)
GAME, FOLLOWER = Linear(dimension=4), Gradient(rm_lr=0.01)


def cell(objective, rm_lr=0.01):
    return Cell(GAME, Leader(objective, policy_lr=0.05), FOLLOWER.replace(rm_lr=rm_lr))


CELLS = [
    cell(Myopic()),
    cell(Relaxed(weight=0.1)),
    cell(Practical(weight=0.2)),
    cell(Exact()),
    cell(Relaxed(weight=0.3), rm_lr=0.02),
]


@pytest.fixture(scope="module")
def one_by_one():
    """True utility [cell, seed, step] of a Python loop over runs."""
    traces = [
        [
            run_seed(*c, jax.random.key(seed), steps=STEPS, record=outcome)[1].metrics["true_utility"]
            for seed in SEEDS
        ]
        for c in CELLS
    ]
    return np.array(traces)


@pytest.mark.parametrize("width", [4, 64])
def test_lanes_equal_runs_one_by_one(width, one_by_one):
    # Not to the last bit: under vmap a dot product becomes a matrix product, which adds in another order.
    lanes = Sweep(CELLS, SEEDS, steps=STEPS, width=width).run()
    np.testing.assert_allclose(lanes.metrics["true_utility"], one_by_one, rtol=1e-12, atol=1e-13)
    assert lanes.finite.all()
    np.testing.assert_allclose(lanes.optimum, 10.0)  # the published scale of U, whose bump has height 1


def test_entries_are_thinned_in_the_program(one_by_one):
    lanes = Sweep(CELLS[:1], SEEDS, steps=STEPS, every=3, width=4).run()
    np.testing.assert_allclose(lanes.metrics["true_utility"], one_by_one[:1, :, ::3], rtol=1e-12, atol=1e-13)


def test_methods_and_values_are_data():
    record, before = chex.assert_max_traces(outcome, n=3), programs_compiled()
    go = partial(Sweep, steps=5, width=4, record=record)
    go(CELLS[:2], SEEDS).run()
    assert programs_compiled() == before + 1  # RLHF and relaxed FPO are one program
    more = [*CELLS[:3], cell(Relaxed(weight=0.4)), cell(Fpo(weight=0.1, oracle=0.5))]
    go(more, SEEDS).run()
    other = [cell(Practical(weight=0.7), rm_lr=0.3), cell(Fpo(weight=0.1, oracle=0.5))]
    go([*more, *other], range(9)).run()
    assert programs_compiled() == before + 1
    go([*more, cell(Exact(horizon=1)), cell(Exact(horizon=2))], SEEDS).run()
    assert programs_compiled() == before + 3  # a horizon is a number of steps that are unrolled
    with pytest.raises(AssertionError, match="traced > 3 times"):  # each of the three was traced, once
        go([cell(Exact(horizon=3))], SEEDS)


def test_memory_decides_the_width(monkeypatch):
    # A chunk takes 100 bytes a lane here, and 80 % of 4000 bytes may be used: 32 lanes.
    monkeypatch.setattr(sweeps, "program_bytes", lambda program: 100 * program.in_avals[0][1][1].size)
    monkeypatch.setattr(sweeps, "free_bytes", lambda: 4000)
    assert Sweep(CELLS[:1], range(64), steps=5).width == 32
    with pytest.raises(InputError, match=r"width = 40: must be at most 32: a run takes 0.0001 MB, and .* GB"):
        Sweep(CELLS[:1], range(64), steps=5, width=40)
    monkeypatch.setattr(sweeps, "free_bytes", lambda: 90)
    with pytest.raises(InputError, match="width = 64: must be at most 0"):
        Sweep(CELLS[:1], range(64), steps=5)


def test_bad_input():
    with pytest.raises(InputError, match="grid = 0 cells × 3 seeds: must be at least one cell and one seed"):
        Sweep([], SEEDS, steps=5)
    with pytest.raises(InputError, match="seed = -1: must be an integer >= 0"):
        Sweep(CELLS, [-1, 2], steps=5)
    with pytest.raises(InputError, match="width = 0: must be an integer >= 1"):
        Sweep(CELLS, SEEDS, steps=5, width=0)
    with pytest.raises(InputError, match="every = 4: must be an integer >= 1 that divides the 6 iterations"):
        Sweep(CELLS, SEEDS, steps=6, every=4)
    with pytest.raises(InputError, match="weight = -1"):
        Sweep([*CELLS, cell(Relaxed(weight=-1.0))], SEEDS, steps=5)


DEVICES = """
import jax, sys
import numpy as np
jax.config.update("jax_enable_x64", True)
from tests.engine.test_sweep import CELLS, STEPS
from fpo_jax.engine.sweep import Sweep
assert jax.device_count() == 8
np.save(sys.argv[1], Sweep(CELLS, range(5), steps=STEPS, width=16).run().metrics["true_utility"])
"""


@pytest.mark.slow
def test_eight_devices_give_the_results_of_one(tmp_path):
    path = tmp_path / "eight.npy"
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "8"}
    subprocess.run([sys.executable, "-c", DEVICES, str(path)], check=True, env=environment, timeout=300)
    eight = np.load(path)
    same_width, other_width = (
        Sweep(CELLS, range(5), steps=STEPS, width=width).run().metrics["true_utility"] for width in (2, 16)
    )
    np.testing.assert_array_equal(eight, same_width)  # two lanes on each device here and there
    # Loops over lanes work on several at once and on the rest one by one, which round differently.
    np.testing.assert_allclose(eight, other_width, rtol=1e-12, atol=1e-13)
