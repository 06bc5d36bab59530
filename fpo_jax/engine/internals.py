"""All that leans on the insides of JAX and XLA, which change without notice from one release to the next.

`tests/engine/test_internals.py` holds each part to what the rest of the package expects of it, so that it
names what a new release has broken.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache
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


def refused_flags(flags: str) -> str | None:
    """Return what XLA has against these words in `XLA_FLAGS`, or None.

    XLA ends a process that gives it a flag it does not know, so another process asks it, which takes a tenth
    of a second or two.
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
