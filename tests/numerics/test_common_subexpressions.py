"""What is computed twice is computed once, and nothing else changes."""

from collections import Counter

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import BestResponse, Exact, Leader, run_seed
from fpo_jax.envs.gridworld import Gridworld
from fpo_jax.internals import equations, within
from fpo_jax.numerics.common_subexpressions import eliminate


def operations(function, *arguments):
    """Count the operations of a function by name, those within loops and the like among them."""

    def count(jaxpr):
        for equation in equations(jaxpr):
            found[equation.primitive.name] += 1
            for inner in within(equation):
                count(inner)

    found = Counter()
    count(jax.make_jaxpr(function)(*arguments))
    return found


@jax.jit
def bent(x):
    return jnp.sin(x) * np.arange(3.0)  # a constant that is new at every call


def wavy(x, y):
    again = bent(x["a"])
    return bent(x["a"]) + jax.grad(lambda x: jnp.sum(bent(x)))(x["a"]) + again, jnp.sin(y), y


ARGUMENTS = {"a": jnp.array(0.3)}, jnp.array(0.7)


def test_an_operation_on_the_same_operands_comes_once():
    before, after = operations(wavy, *ARGUMENTS), operations(eliminate(wavy), *ARGUMENTS)
    # sin a for two values and a gradient, sin y; the gradient also asks for cos a
    assert (before["sin"], before["cos"]) == (4, 1)
    assert (after["sin"], after["cos"]) == (2, 1)


def test_what_differs_stays_apart():
    def alike(x, key):
        square = jnp.outer(x, x + 1)
        with jax.threefry_partitionable(False):
            otherwise = jax.random.normal(key, (5,))
        return {
            "axes": [jnp.sum(square, axis=0), jnp.sum(square, axis=1)],
            "signs of zero": [1 / (x * 0.0), 1 / (x * -0.0)],
            "constants": [x * np.arange(5.0), x * np.arange(5.0)[::-1]],
            "keys": [jax.random.normal(k, (5,)) for k in jax.random.split(key)],
            "widths": [jax.random.bits(key, (5,), dtype) for dtype in (jnp.uint8, jnp.uint16)],
            "kinds of key": [otherwise, jax.random.normal(key, (5,))],
            "types": [x.astype(int) + 1, x + 1.0],
            "loops": [jax.lax.fori_loop(0, 3, lambda i, y, k=k: y * k, x) for k in (2.0, 3.0)],
            "branches": [jax.lax.cond(x[0] > 0, f, jnp.cos, x) for f in (jnp.sin, jnp.tan)],
            "remat": [jax.checkpoint(f)(x) for f in (jnp.sin, jnp.tan)],
        }

    given = jnp.arange(5.0) + 0.5, jax.random.key(0)
    shared, plain = (jax.jit(f)(*given) for f in (eliminate(alike), alike))
    for name, (one, other) in shared.items():
        np.testing.assert_allclose((one, other), plain[name], rtol=1e-12, err_msg=name)
        assert not np.array_equal(one, other) or one.dtype != other.dtype, name


def test_results_and_derivatives_are_the_same():
    chex.assert_trees_all_close(jax.jit(eliminate(wavy))(*ARGUMENTS), wavy(*ARGUMENTS), rtol=1e-12)
    rows = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), ARGUMENTS)
    chex.assert_trees_all_close(*(jax.jit(jax.vmap(f))(*rows) for f in (eliminate(wavy), wavy)), rtol=1e-12)

    def total(f):
        return lambda x: sum(map(jnp.sum, f({"a": x}, x)))

    for derivative in (jax.grad, jax.jacfwd, lambda f: jax.grad(jax.grad(f))):
        mine, theirs = (jax.jit(derivative(total(f))) for f in (eliminate(wavy), wavy))
        np.testing.assert_allclose(mine(0.3), theirs(0.3), rtol=1e-12)


def test_effects_stay_and_without_jit_values_are_seen(capsys):
    def talking(x):
        for _ in range(2):
            jax.debug.print("said {}", x)
        return jnp.sin(x) + jnp.sin(x)

    jax.jit(eliminate(talking))(1.0)
    jax.effects_barrier()
    assert capsys.readouterr().out.count("said 1.0") == 2
    seen = []
    with jax.disable_jit():
        eliminate(lambda x: seen.append(float(x)))(jnp.array(2.0))
    assert seen == [2.0]


@pytest.mark.parametrize("every", [1, 2])
def test_an_iteration_solves_for_the_occupancy_of_a_policy_once(every):
    """The start has one policy; an iteration has that before its step and that after it."""

    def go(key):
        leader = Leader(Exact(), policy_lr=0.1)
        return run_seed(Gridworld(), leader, BestResponse(ridge=0.1), key, steps=2, every=every)

    # two more are of the policy iteration that finds the optimum: its first step, and that which it repeats.
    # With entries further apart an iteration does not see what the record of its policy computes.
    assert operations(go, jax.random.key(0))["lu"] - 2 == (3 if every == 1 else 4)
