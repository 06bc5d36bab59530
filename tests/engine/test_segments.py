"""Runs cut into segments: hooks that hear of entries live, and runs that go on where they were cut."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import Gradient, InputError, Leader, Relaxed, outcome, run_seed, run_seeds, seed_keys
from fpo_jax.engine.checks import call_program
from fpo_jax.engine.runs import play_alone, play_lanes, run_by
from fpo_jax.engine.segments import segment_lengths
from fpo_jax.envs.linear import Linear
from fpo_jax.internals import programs_of

PLAYERS = Linear(dimension=4), Leader(Relaxed()), Gradient()


def test_a_hook_sees_every_entry_in_order_and_changes_nothing():
    for steps, every in ((60, 1), (60, 5)):
        go = partial(run_seeds, *PLAYERS, seed_keys(3), steps=steps, every=every, record=outcome)
        seen = []
        final, trace = go(on_entry=lambda iteration, metrics: seen.append((iteration, metrics)))  # noqa: B023
        chex.assert_trees_all_close((final, trace), go(), rtol=1e-12)
        assert [iteration for iteration, _ in seen] == list(range(0, steps + 1, every))
        for name, values in trace.metrics.items():
            np.testing.assert_array_equal(np.stack([m[name] for _, m in seen], axis=1), values)


def test_the_metrics_of_one_run_are_scalars(key):
    seen = []
    _, trace = run_seed(*PLAYERS, key, steps=3, record=outcome, on_entry=lambda i, m: seen.append(m["gap"]))
    assert {values.shape for values in seen} == {()}
    np.testing.assert_array_equal(seen, trace.metrics["gap"])


def test_another_hook_compiles_nothing():
    go = partial(run_seeds, *PLAYERS, steps=60, record=outcome)
    programs = play_lanes.jitted, play_alone.jitted
    counts = []
    for first_seed in (0, 5):
        go(seed_keys(3, first_seed), on_entry=lambda iteration, metrics: None)
        counts.append([programs_of(program) for program in programs])
    assert counts[0] == counts[1]


def test_what_a_hook_raises_ends_the_run(key):
    class Enough(ValueError):  # which is not taken for what JAX says of the follower
        pass

    def stop(iteration, metrics):
        seen.append(iteration)
        if iteration == 10:
            raise Enough("not differentiable")

    seen = []
    with pytest.raises(Enough):
        run_seed(*PLAYERS, key, steps=60, record=outcome, on_entry=stop)
    assert seen == list(range(11))


def test_a_hook_within_a_traced_function_is_refused(key):
    def utility(signal, keys):
        key = jnp.ravel(keys)[0]
        environment = PLAYERS[0].replace(true_weight_signal=signal)
        hook = {"steps": 3, "record": outcome, "on_entry": lambda iteration, metrics: None}
        return run_seed(environment, *PLAYERS[1:], key, **hook)[1].metrics["true_utility"][-1]

    for traced in (jax.jit(utility), jax.grad(utility), jax.vmap(utility, in_axes=(None, 0))):
        with pytest.raises(
            InputError, match="on_entry = given: must be None inside a function that JAX traces"
        ):
            traced(1.5, jax.random.split(key, 2))


def test_lengths_of_segments():
    for entries in [*range(1, 400), 4001, 10**6 + 1]:
        lengths = segment_lengths(entries)
        assert sum(lengths) == entries
        assert len({*lengths[:-1]}) <= 1
        assert (20 <= len(lengths) <= 50) if entries >= 200 else min(lengths[:-1], default=10) >= 10
    assert segment_lengths(7) == [7]
    assert segment_lengths(60) == [20] * 3  # no shorter than 10: each segment computes an iteration in vain
    assert segment_lengths(200) == [10] * 20
    assert segment_lengths(201) == [10] * 20 + [1]  # 3 · 67 has no divisor from 5 to 10
    assert segment_lengths(261) == [9] * 29  # the greatest divisor from 6 to 13


def test_a_run_goes_on_from_where_it_was_cut_to_the_last_bit():
    seen, options = [], {"devices": jax.local_devices(), "steps": 60, "record": outcome, "keep_states": True}
    go = partial(run_by, call_program, *PLAYERS, seed_keys(3), **options)
    _, final, trace = go(watch=seen.append)
    assert len(seen) == 3  # of 20 iterations
    done = seen[0].done
    assert done == 20 + 1  # the first entry is before any
    cut = seen[0]._replace(trace=jax.tree.map(lambda leaf: leaf[:, :done], trace))
    later = []
    _, *resumed = go(watch=later.append, partway=cut)
    assert len(later) == 2
    chex.assert_trees_all_equal(resumed, [final, trace])


class Log(list):
    """A hook that is empty, so false, until it is called."""

    def __call__(self, iteration, metrics):
        self.append(iteration)


def test_a_hook_is_any_function_and_nothing_else(key):
    log = Log()
    run_seed(*PLAYERS, key, steps=3, record=outcome, on_entry=log)
    assert log == [0, 1, 2, 3]
    with pytest.raises(InputError, match="on_entry = 5: must be None, or a function"):
        run_seed(*PLAYERS, key, steps=3, record=outcome, on_entry=5)
