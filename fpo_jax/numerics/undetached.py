"""The derivative of a value, ignoring what was detached inside it.

A gradient with detached parts is still a function of θ, and a run follows that function. To find where it
vanishes and how it changes there, we differentiate its value. Detaching defines how a gradient is computed,
not how it changes with θ.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jaxtyping import PyTree

from fpo_jax import internals

CONSTANT = "constant"
"""The scope in which a value stays detached."""


def constant(tree: PyTree) -> PyTree:
    """Detach a value for good: it only helps a solve that has its own derivative rule."""
    with jax.named_scope(CONSTANT):
        return jax.lax.stop_gradient(tree)


def undetached(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with `jax.lax.stop_gradient` as the identity in its derivatives (ours).

    Its values are the same. This reaches into jitted functions, loops and conditions. A function with a
    custom derivative keeps it, and a `constant` stays detached.
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
    """Return a traced function that detaches nothing."""
    return jax.make_jaxpr(lambda *arguments: _evaluate(traced, arguments))(*traced.in_avals)
