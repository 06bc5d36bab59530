"""Lanes of one program, and how devices divide them."""

import os
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np

from fpo_jax import Gradient, Leader, Myopic, run_seeds, seed_keys
from fpo_jax.engine.lanes import first_lane, in_lanes, padded
from fpo_jax.envs.linear import Linear


def test_lanes_are_filled_up_for_the_devices_and_run_as_one_alone(key):
    keys, devices = jax.random.split(key, 4), range(3)
    filled = padded(keys, devices)
    assert len(filled) == 6  # the next multiple of 3
    chex.assert_trees_all_equal(filled[:4], keys)
    chex.assert_trees_all_equal(filled[4:], keys[jnp.array([0, 0])])
    assert len(padded(keys, range(2))) == 4
    draw = in_lanes(lambda shared, key: shared + jax.random.normal(key), jax.devices()[:1])
    np.testing.assert_array_equal(first_lane(draw(2.0, keys)), 2.0 + jax.random.normal(keys[0]))


THREE_DEVICES = """
import sys
from functools import partial
from pathlib import Path
import jax, numpy
from flax import struct
from fpo_jax.envs.linear import Linear
from fpo_jax.engine import kept_programs
from fpo_jax import Gradient, Leader, Myopic, run_seeds, seed_keys
from fpo_jax.engine.runs import run_by
jax.config.update("jax_enable_x64", True)
devices = jax.local_devices()
assert len(devices) == 3
players = Linear(dimension=6), Leader(Myopic(), policy_lr=0.02), Gradient()
_, four = run_seeds(*players, seed_keys(4), steps=20)
kept_programs.keep_in(Path(sys.argv[1]))
call = partial(kept_programs.call_kept, "two")
beginning, _, two = run_by(call, *players, seed_keys(2), devices=devices, steps=20)
assert beginning.optimum.sharding.num_devices == 2

@struct.dataclass
class WithNothing(Linear):
    nothing: jax.Array = struct.field(default_factory=lambda: jax.numpy.zeros((5, 0)), kw_only=True)

empty = WithNothing(dimension=6), *players[1:]
prepare = partial(kept_programs.prepare_kept, "two")
_, _, same = run_by(call, *empty, seed_keys(2), devices=devices, steps=20, prepare=prepare)
for name, values in same.metrics.items():
    numpy.testing.assert_array_equal(values, two.metrics[name])
numpy.savez(sys.argv[2], **{f"{number} {name}": values
    for number, trace in ((4, four), (2, two)) for name, values in trace.metrics.items()})
"""


def test_three_devices_give_what_one_gives(tmp_path):
    # Four seeds on three devices: two are padded, and taken off again. Two seeds, by kept programs, on two of
    # them. Vector loops may round differently. An array of nothing changes nothing.
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
