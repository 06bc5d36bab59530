"""Loops of a known length, and trajectories: steps with an entry before, between and after them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax.numerics.scan import scan, trajectory


def test_a_loop_of_one_is_its_body_and_one_of_more_a_loop():
    def body(carry, x):
        return carry + x, carry * x

    for rows in (1, 3):
        xs = jnp.arange(1.0, rows + 1.0)
        program = str(jax.make_jaxpr(lambda xs: scan(body, 2.0, xs))(xs))
        assert ("scan" in program) == (rows > 1)
        ours, theirs = scan(body, 2.0, xs), jax.lax.scan(body, 2.0, xs)
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("first", [0, 6])
def test_a_trajectory_is_the_loop_written_out(first, every):
    def step(state, t):
        return 0.5 * state + jnp.asarray(t, float)

    def entry(state, t):
        return {"state": state, "at": t}

    expected, states = jnp.array(1.0), []
    for t in range(first, first + 4 * every):
        if (t - first) % every == 0:
            states.append(expected)
        expected = step(expected, t)
    go = jax.jit(lambda first: trajectory(step, entry, jnp.array(1.0), first, 4, every))
    last, entries = go(first)
    np.testing.assert_allclose(last, expected, rtol=1e-15)
    np.testing.assert_allclose(entries["state"], [*states, expected], rtol=1e-15)
    np.testing.assert_array_equal(entries["at"], first + every * np.arange(5))


def test_what_lies_beyond_the_last_entry_is_skipped_where_it_is_long():
    # A step that fails would be seen: with several steps to an entry none runs beyond the last.
    taken = []

    def step(state, t):
        jax.debug.callback(lambda t: taken.append(int(t)), t)
        return state + 1.0

    last, _ = jax.jit(lambda: trajectory(step, lambda state, t: state, jnp.zeros(()), 0, 2, 3))()
    jax.block_until_ready(last)
    jax.effects_barrier()
    assert sorted(taken) == list(range(6))
