"""All code that depends on internals of JAX and XLA, which change without notice between releases.

`tests/test_internals.py` tests each part against what the rest of the package expects, so that it names what
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
"""The values that one XLA option can take."""


STAGES = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "xla",
}
"""Stages of a compilation, by the events with which JAX reports their duration. The last one is reading a
program from the cache.
"""


def is_tracer(value: Any) -> bool:
    """Say whether a value is traced and therefore has no number yet."""
    return isinstance(value, jax.core.Tracer)


def setting(name: str) -> Any:
    """Return a setting of JAX by its name, such as `jax_enable_x64`."""
    return jax.config.values[name]


def settings() -> dict[str, Any]:
    """Return all settings of JAX by their names."""
    return dict(jax.config.values)


def forget_compiled() -> None:
    """Make JAX forget its cache of compiled programs, so that it reads the cache's settings anew."""
    compilation_cache.reset_cache()


def programs_of(jitted: Any) -> int:
    """Return how many programs this process has compiled for a jitted function."""
    return int(jitted._cache_size())


# What a traced function consists of.


def equations(traced: ClosedJaxpr | Jaxpr) -> list[JaxprEqn]:
    """Return the operations of a traced function, in order, without nested ones."""
    return list(getattr(traced, "jaxpr", traced).eqns)


def within(equation: JaxprEqn) -> list[ClosedJaxpr | Jaxpr]:
    """Return the traced functions that an operation calls: a loop's body, a condition's branches."""
    kinds = ClosedJaxpr | Jaxpr
    leaves = jax.tree.leaves(list(equation.params.values()), is_leaf=lambda leaf: isinstance(leaf, kinds))
    return [leaf for leaf in leaves if isinstance(leaf, kinds)]


def variables(traced: ClosedJaxpr, arguments: Sequence[Any]) -> dict[Any, Any]:
    """Return the arguments and constants of a traced function, by variable."""
    jaxpr = traced.jaxpr
    return dict(zip([*jaxpr.constvars, *jaxpr.invars], [*traced.consts, *arguments], strict=True))


def value(atom: Any, values: Mapping[Any, Any]) -> Any:
    """Return the value of a variable or of a literal."""
    return atom.val if isinstance(atom, Literal) else values[atom]


def results(traced: ClosedJaxpr, values: Mapping[Any, Any]) -> list[Any]:
    """Return the results of a traced function, from the known values of its variables."""
    return [value(atom, values) for atom in traced.jaxpr.outvars]


def called(equation: JaxprEqn) -> ClosedJaxpr | None:
    """Return the jitted function that an operation merely calls; None if it also places arguments."""
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
    """Return an operation with its loop bodies and branches rewritten; any other operation unchanged."""
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
    """Give operations traced within this context the source line and names of a given operation."""
    where, names = equation.source_info, source_info_util.current_name_stack()
    with source_info_util.user_context(where.traceback, name_stack=names + where.name_stack):
        yield


def operation(equation: JaxprEqn) -> Hashable:
    """Return a key that equal operations share and others do not; None if an operation can have none."""
    if equation.effects:
        return None
    name = equation.primitive, tuple(equation.params.items()), equation.ctx
    try:
        hash(name)
    except TypeError:  # a parameter that cannot be compared
        return None
    return name


def operand(value: Any) -> Hashable:
    """Return the name of an operand: a constant's content, or the variable itself."""
    if isinstance(value, np.ndarray | np.generic | bool | int | float | complex):
        return jax.typeof(value), np.asarray(value).tobytes()
    return id(value)


# Options of XLA.


@cache
def knows_option(name: str, option: Option) -> bool:
    """Say whether the installed XLA has this compiler option, by compiling a constant with it once.

    Options come and go with releases of XLA. An unknown option makes every compilation fail.
    """
    try:
        jax.jit(lambda: 0.0, compiler_options={name: option}).lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" not in str(error):
            raise
        return False
    return True


def known_options(options: Mapping[str, Option]) -> dict[str, Option]:
    """Return the compiler options that the installed XLA has."""
    return {name: option for name, option in options.items() if knows_option(name, option)}


def knows_flag(name: str) -> bool:
    """Say whether the installed XLA has this process-wide flag."""
    return hasattr(_jax.DebugOptions, name)


def gives_sums_away() -> bool:
    """Say, by its release, whether XLA hands sums on a CPU to the library YNNPACK and can be told not to.

    `knows_flag` does not see this flag, and an unknown flag ends the process. So only releases that were
    tried get it.
    """
    return (0, 11) <= tuple(map(int, jaxlib.__version__.split(".")[:2])) <= (0, 12)


@functools.cache
def refused_flags(flags: str) -> str | None:
    """Return XLA's complaint about these words in `XLA_FLAGS`, or None.

    XLA ends a process that passes an unknown flag, so another process tries them, which takes one or two
    tenths of a second. The same words are tried only once.
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
