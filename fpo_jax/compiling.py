"""What XLA is told of a program as it compiles it."""

from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any

import jax
from jaxtyping import PyTree

OLDER: Mapping[str, bool | int | str] = {"xla_cpu_use_fusion_emitters": False}
"""XLA's older code generator: it takes two thirds of the time, and what it makes for many lanes is slower."""
LIGHTLY: Mapping[str, bool | int | str] = {**OLDER, "xla_backend_optimization_level": 0}
"""For a program that runs once: XLA takes a third of the time."""


class Compiled:
    """A function, jitted, with a word to XLA.

    While something else is traced it is jitted without that word, which JAX takes for an outermost program
    only.

    Attributes:
        jitted: the function, jitted, as an outermost program.
        compiler_options: what XLA is told; it goes before `XLA_FLAGS`.
    """

    def __init__(self, function: Callable[..., Any], options: Mapping[str, bool | int | str], **static: Any):
        update_wrapper(self, function)
        self.compiler_options = dict(options)
        self.jitted = jax.jit(function, compiler_options=self.compiler_options, **static)
        self._part = jax.jit(function, **static)

    def __call__(self, *arguments: Any, **static: Any) -> Any:
        """Return what the function returns."""
        return (self._part if is_traced(arguments) else self.jitted)(*arguments, **static)


def is_traced(tree: PyTree) -> bool:
    """Say whether what is computed from the tree has no value yet: within `jax.jit`, nothing has."""
    leaves = [*jax.tree.leaves(tree), jax.device_put(0.0)]
    return any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)
