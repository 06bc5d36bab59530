"""All that leans on the insides of JAX and XLA, which change without notice from one release to the next.

`tests/test_internals.py` holds each part to what the rest of the package expects of it, so that it names what
a new release has broken.
"""

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import jax
import jaxlib
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from jax.extend import source_info_util
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal
from jaxlib import _jax

Option = bool | int | str
"""What XLA can be told of one thing."""


STAGES = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "xla",
}
"""Stages of a compilation, by the events in which JAX reports how long they took; the last is reading, where
the cache has the program."""


def is_tracer(value: Any) -> bool:
    """Say whether a value is traced, so that it has no number yet."""
    return isinstance(value, jax.core.Tracer)


def setting(name: str) -> Any:
    """Return a setting of JAX by its name, such as `jax_enable_x64`."""
    return jax.config.values[name]


def settings() -> dict[str, Any]:
    """Return all settings of JAX by their names."""
    return dict(jax.config.values)


def forget_compiled() -> None:
    """Let JAX forget what it knows of its cache of compiled programs, so that its settings are read anew."""
    compilation_cache.reset_cache()


def programs_of(jitted: Any) -> int:
    """Return how many programs a jitted function has been compiled to in this process."""
    return int(jitted._cache_size())


# What a traced function consists of.


def equations(traced: ClosedJaxpr | Jaxpr) -> list[JaxprEqn]:
    """Return the operations of a traced function, in order, without those inside of them."""
    return list(getattr(traced, "jaxpr", traced).eqns)


def within(equation: JaxprEqn) -> list[ClosedJaxpr | Jaxpr]:
    """Return the traced functions that an operation calls: a loop's body, the branches of a condition."""
    kinds = ClosedJaxpr | Jaxpr
    leaves = jax.tree.leaves(list(equation.params.values()), is_leaf=lambda leaf: isinstance(leaf, kinds))
    return [leaf for leaf in leaves if isinstance(leaf, kinds)]


def variables(traced: ClosedJaxpr, arguments: Sequence[Any]) -> dict[Any, Any]:
    """Return the values that a traced function starts from, by variable."""
    jaxpr = traced.jaxpr
    return dict(zip([*jaxpr.constvars, *jaxpr.invars], [*traced.consts, *arguments], strict=True))


def value(atom: Any, values: Mapping[Any, Any]) -> Any:
    """Return the value of a variable or of a literal."""
    return atom.val if isinstance(atom, Literal) else values[atom]


def results(traced: ClosedJaxpr, values: Mapping[Any, Any]) -> list[Any]:
    """Return what a traced function gives, once the values of its variables are known."""
    return [value(atom, values) for atom in traced.jaxpr.outvars]


def called(equation: JaxprEqn) -> ClosedJaxpr | None:
    """Return the jitted function that an operation only calls; None where it says where arguments lie."""
    if equation.primitive.name != "jit":
        return None
    placed = *equation.params["in_shardings"], *equation.params["out_shardings"]
    if any(isinstance(place, jax.sharding.Sharding) for place in placed):
        return None
    return equation.params["jaxpr"]


def applied(equation: JaxprEqn, operands: Sequence[Any]) -> Sequence[Any]:
    """Return the results of an operation on these operands."""
    parameters = equation.primitive.get_bind_params(equation.params)
    with equation.ctx.manager:
        results = equation.primitive.bind(*operands, **parameters)
    return results if equation.primitive.multiple_results else [results]


def detaches(equation: JaxprEqn) -> bool:
    """Say whether an operation is `jax.lax.stop_gradient`."""
    return equation.primitive.name == "stop_gradient"


def stands_in(equation: JaxprEqn, scope: str) -> bool:
    """Say whether an operation was traced within a `jax.named_scope` of this name."""
    return any(scope in str(part) for part in equation.source_info.name_stack.stack)


def rewritten(equation: JaxprEqn, rewrite: Callable[[ClosedJaxpr], ClosedJaxpr]) -> JaxprEqn:
    """Return an operation with every loop's body and every branch of it rewritten; any other as it is."""
    if equation.primitive.name not in ("scan", "while", "cond"):
        return equation
    parameters = {
        name: jax.tree.map(
            lambda leaf: rewrite(leaf) if isinstance(leaf, ClosedJaxpr) else leaf,
            value,
            is_leaf=lambda leaf: leaf is None or isinstance(leaf, ClosedJaxpr),
        )
        if name in ("jaxpr", "body_jaxpr", "branches")
        else value
        for name, value in equation.params.items()
    }
    return equation.replace(params=parameters)


@contextmanager
def located(equation: JaxprEqn) -> Iterator[None]:
    """Let what is traced within carry the source line and the names of an operation."""
    where, names = equation.source_info, source_info_util.current_name_stack()
    with source_info_util.user_context(where.traceback, name_stack=names + where.name_stack):
        yield


def operation(equation: JaxprEqn) -> Hashable:
    """Return what only operations have in common that do the same to their operands; None where none can."""
    if equation.effects:
        return None
    name = equation.primitive, tuple(equation.params.items()), equation.ctx
    try:
        hash(name)
    except TypeError:  # a parameter that cannot be compared
        return None
    return name


def operand(value: Any) -> Hashable:
    """Return the name of an operand: a constant is what it contains, anything else itself."""
    if isinstance(value, np.ndarray | np.generic | bool | int | float | complex):
        return jax.typeof(value), np.asarray(value).tobytes()
    return id(value)


# What XLA can be told.


@cache
def knows_option(name: str, option: Option) -> bool:
    """Say whether the XLA at hand has this compiler option: it compiles a constant with it, once.

    An option comes and goes with releases of XLA. One that XLA does not know ends every compilation.
    """
    try:
        jax.jit(lambda: 0.0, compiler_options={name: option}).lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" not in str(error):
            raise
        return False
    return True


def known_options(options: Mapping[str, Option]) -> dict[str, Option]:
    """Return those of the compiler options that the XLA at hand has."""
    return {name: option for name, option in options.items() if knows_option(name, option)}


def knows_flag(name: str) -> bool:
    """Say whether the XLA at hand has this flag, among those that a whole process can be given."""
    return hasattr(_jax.DebugOptions, name)


def gives_sums_away() -> bool:
    """Say whether XLA gives sums on a CPU to a library, YNNPACK, and can be told not to: by its release.

    Its flag is not among those that `knows_flag` sees, and one that XLA does not know ends the process. So a
    release is asked for nothing before it has been tried.
    """
    return (0, 11) <= tuple(map(int, jaxlib.__version__.split(".")[:2])) <= (0, 12)


@functools.cache
def refused_flags(flags: str) -> str | None:
    """Return what XLA has against these words in `XLA_FLAGS`, or None.

    XLA ends a process that gives it a flag it does not know, so another process asks it, which takes a tenth
    of a second or two; the same words are asked of it once.
    """
    asked = subprocess.run(
        [sys.executable, "-c", "from jaxlib import xla_client; xla_client.CompileOptions()"],
        env=os.environ | {"XLA_FLAGS": flags, "TF_CPP_MIN_LOG_LEVEL": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    if asked.returncode == 0:
        return None
    lines = asked.stderr.decode(errors="replace").splitlines() or ["no reason given"]
    return lines[0].rpartition("] ")[2]
