"""What an iteration computes twice, computed once.

The record, a policy step, the follower's update and each of their derivatives ask for the same things of a
state. XLA finds most of what they share, but first it moves whatever does not change out of a loop, once for
each place where it stands; all that is computed from it then looks different to it. So it is found before.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax

from fpo_jax import internals


def eliminate(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function for use while something is traced: an operation on the same operands comes once.

    Functions that it calls jitted become a part of it, unless they say where their arguments lie. What is
    within a loop, a condition or a function with a derivative of its own stays as it is, and so does
    anything with an effect, such as printing. Results and derivatives are the same. With `jax.disable_jit`
    it is the function itself.
    """

    def shared(*arguments: Any) -> Any:
        if internals.setting("jax_disable_jit"):
            return function(*arguments)
        traced, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        results = _evaluate(traced, jax.tree.leaves(arguments), {})
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return shared


def _evaluate(traced: Any, arguments: Sequence[Any], known: dict[Hashable, Any]) -> list[Any]:
    """Return the results for these arguments, and add what is computed on the way to what is known."""
    values = internals.variables(traced, arguments)
    for equation in internals.equations(traced):
        operands = [internals.value(atom, values) for atom in equation.invars]
        with internals.located(equation):
            function = internals.called(equation)
            if function is not None:
                results = _evaluate(function, operands, known)
            else:
                name = _name(equation, operands)
                if name not in known:  # with its operands, since a name holds as long as they are there
                    known[name] = internals.applied(equation, operands), operands
                results, _ = known[name]
        values.update(zip(equation.outvars, results, strict=True))
    return internals.results(traced, values)


def _name(equation: Any, operands: Sequence[Any]) -> Hashable:
    """Return what only equations have in common that compute the same; one of its own where none can be."""
    operation = internals.operation(equation)
    return object() if operation is None else (operation, tuple(map(internals.operand, operands)))
