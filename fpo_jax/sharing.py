"""What an iteration computes twice, computed once.

The record, a policy step, the follower's update and each of their derivatives ask for the same things of a
state. XLA finds most of what they share, but first it moves whatever does not change out of a loop, once for
each place where it stands; all that is computed from it then looks different to it. So it is found before.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import source_info_util
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal


def sharing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function for use while something is traced: an operation on the same operands comes once.

    Functions that it calls jitted become a part of it, unless they say where their arguments lie. What is
    within a loop, a condition or a function with a derivative of its own stays as it is, and so does
    anything with an effect, such as printing. Results and derivatives are the same. With `jax.disable_jit`
    it is the function itself.
    """

    def shared(*arguments: Any) -> Any:
        if jax.config.jax_disable_jit:  # type: ignore[attr-defined]
            return function(*arguments)
        traced, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        results = _evaluate(traced, jax.tree.leaves(arguments), {})
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return shared


def _evaluate(traced: ClosedJaxpr, arguments: Sequence[Any], known: dict[Hashable, Any]) -> list[Any]:
    """Return the results for these arguments, and add what is computed on the way to what is known."""
    jaxpr = traced.jaxpr
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*traced.consts, *arguments], strict=True))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        operands = [value(atom) for atom in equation.invars]
        where, names = equation.source_info, source_info_util.current_name_stack()
        with source_info_util.user_context(where.traceback, name_stack=names + where.name_stack):
            if _is_call(equation):
                results = _evaluate(equation.params["jaxpr"], operands, known)
            else:
                name = _name(equation, operands)
                if name not in known:  # with its operands, since a name holds as long as they are there
                    known[name] = _results(equation, operands), operands
                results, _ = known[name]
        values.update(zip(equation.outvars, results, strict=True))
    return [value(atom) for atom in jaxpr.outvars]


def _is_call(equation: JaxprEqn) -> bool:
    """Say whether it only calls a jitted function, wherever the arguments lie."""
    if equation.primitive.name != "jit":
        return False
    placed = *equation.params["in_shardings"], *equation.params["out_shardings"]
    return not any(isinstance(place, jax.sharding.Sharding) for place in placed)


def _results(equation: JaxprEqn, operands: Sequence[Any]) -> Sequence[Any]:
    parameters = equation.primitive.get_bind_params(equation.params)
    with equation.ctx.manager:
        results = equation.primitive.bind(*operands, **parameters)
    return results if equation.primitive.multiple_results else [results]


def _name(equation: JaxprEqn, operands: Sequence[Any]) -> Hashable:
    """Return what only equations have in common that compute the same; one of its own where none can be."""
    if equation.effects:
        return object()
    parameters = tuple(equation.params.items())
    name = equation.primitive, parameters, equation.ctx, tuple(map(_operand, operands))
    try:
        hash(name)
    except TypeError:  # a parameter that cannot be compared
        return object()
    return name


def _operand(value: Any) -> Hashable:
    """Return the name of an operand: a constant is what it contains, anything else itself."""
    if isinstance(value, np.ndarray | np.generic | bool | int | float | complex):
        return jax.typeof(value), np.asarray(value).tobytes()
    return id(value)
