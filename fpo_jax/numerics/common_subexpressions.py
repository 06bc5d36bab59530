"""Common subexpression elimination: compute once what an iteration computes twice.

The record, a policy step, the follower's update and their derivatives compute many of the same values. XLA
finds most of them. But first it moves loop-invariant values out of a loop, once for each use, and values
computed from the copies then look different to it. So this module finds them before XLA does.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax

from fpo_jax import internals


def eliminate(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function for use in a traced program, with each operation on the same operands done once.

    Jitted functions that it calls are inlined, unless they place their arguments. Loops, conditions,
    functions with a custom derivative, and anything with an effect, such as printing, stay as they are.
    Results and derivatives are the same. With `jax.disable_jit` it returns the function itself.
    """

    def shared(*arguments: Any) -> Any:
        if internals.setting("jax_disable_jit"):
            return function(*arguments)
        traced, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        results = _evaluate(traced, jax.tree.leaves(arguments), {})
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return shared


def _evaluate(traced: Any, arguments: Sequence[Any], known: dict[Hashable, Any]) -> list[Any]:
    """Return the results for these arguments, and add all intermediate values to the known ones."""
    values = internals.variables(traced, arguments)
    for equation in internals.equations(traced):
        operands = [internals.value(atom, values) for atom in equation.invars]
        with internals.located(equation):
            function = internals.called(equation)
            if function is not None:
                results = _evaluate(function, operands, known)
            else:
                name = _name(equation, operands)
                if name not in known:  # with its operands, since a name is valid only while they exist
                    known[name] = internals.applied(equation, operands), operands
                results, _ = known[name]
        values.update(zip(equation.outvars, results, strict=True))
    return internals.results(traced, values)


def _name(equation: Any, operands: Sequence[Any]) -> Hashable:
    """Return a key that equations with the same result share, or a unique one if none can be made."""
    operation = internals.operation(equation)
    return object() if operation is None else (operation, tuple(map(internals.operand, operands)))
