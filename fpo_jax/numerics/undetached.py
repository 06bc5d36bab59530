"""The derivative of what is computed, whatever was detached within it.

A gradient in which something is detached is a function of θ like any other, and a run follows that function.
Where it vanishes, and how it changes there, is asked of its value: detaching says how a gradient is made, not
how the gradient changes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jaxtyping import PyTree

from fpo_jax import internals

CONSTANT = "constant"
"""The scope in which something is detached for good."""


def constant(tree: PyTree) -> PyTree:
    """Return what is detached for good: it only serves a solve whose derivative has a rule of its own."""
    with jax.named_scope(CONSTANT):
        return jax.lax.stop_gradient(tree)


def undetached(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, in whose derivatives `jax.lax.stop_gradient` is the identity (ours).

    Its values are the same. Functions that it calls jitted, loops and conditions are looked into; a function
    with a derivative of its own keeps that, and so does a `constant`.
    """

    def free(*arguments: Any) -> Any:
        traced, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        results = _evaluate(traced, jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return free


def _evaluate(traced: Any, arguments: Sequence[Any]) -> list[Any]:
    values = internals.variables(traced, arguments)
    for equation in internals.equations(traced):
        operands = [internals.value(atom, values) for atom in equation.invars]
        function = internals.called(equation)
        with internals.located(equation):
            if internals.detaches(equation) and not internals.stands_in(equation, CONSTANT):
                results: Sequence[Any] = operands
            elif function is not None:
                results = _evaluate(function, operands)
            else:
                results = internals.applied(internals.rewritten(equation, _free), operands)
        values.update(zip(equation.outvars, results, strict=True))
    return internals.results(traced, values)


def _free(traced: Any) -> Any:
    """Return a traced function that detaches nothing, in place of one."""
    return jax.make_jaxpr(lambda *arguments: _evaluate(traced, arguments))(*traced.in_avals)
