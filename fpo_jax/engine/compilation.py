"""Compiler options that XLA gets with a program."""

from collections.abc import Callable, Mapping
from functools import cached_property, update_wrapper
from typing import Any

import jax
from jaxtyping import PyTree

from fpo_jax.internals import Option, is_tracer, known_options

OLDER: Mapping[str, Option] = {"xla_cpu_use_fusion_emitters": False}
"""XLA's older code generator, where XLA has it. It takes two thirds of the time, and its code for many lanes
is slower.
"""
LIGHTLY: Mapping[str, Option] = {**OLDER, "xla_backend_optimization_level": 0}
"""For a program that runs once: XLA takes a third of the time."""


class Compiled:
    """A jitted function with compiler options for XLA.

    Inside another traced function it is jitted without the options, since JAX accepts them only for an
    outermost program.
    """

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Option], **static: Any):
        update_wrapper(self, function)
        self._function, self._options, self._static = function, options, static
        self._part = jax.jit(function, **static)

    @cached_property
    def compiler_options(self) -> dict[str, Option]:
        """The options that the installed XLA knows; they override `XLA_FLAGS`."""
        return known_options(self._options)

    @cached_property
    def jitted(self) -> Any:
        """The function, jitted, as an outermost program."""
        return jax.jit(self._function, compiler_options=self.compiler_options, **self._static)

    def __call__(self, *arguments: Any, **static: Any) -> Any:
        """Call the function."""
        return (self._part if is_traced(arguments) else self.jitted)(*arguments, **static)


def is_traced(tree: PyTree) -> bool:
    """Say whether anything computed from the tree has no value yet, as inside `jax.jit`."""
    return any(map(is_tracer, [*jax.tree.leaves(tree), jax.device_put(0.0)]))
