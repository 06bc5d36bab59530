"""Import our own modules without JAX, to read their declarations for answers that must be immediate.

Names, docstrings and declared hyperparameters need no computation, but importing JAX takes longer than such
an answer may. So, as in documentation builders, stand-ins replace the slow packages while our modules are
imported, and everything is forgotten afterwards.
"""

import dataclasses
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

STANDS_IN = (
    "chex",
    "equinox",
    "flax",
    "jax",
    "jaxlib",
    "jaxtyping",
    "lineax",
    "optax",
    "optimistix",
    "scipy",
)
OURS = "fpo_jax"


@contextmanager
def without_jax() -> Iterator[None]:
    """Import modules of `fpo_jax` in this context with stand-ins for JAX, unless JAX is loaded."""
    if "jax" in sys.modules:
        yield
        return
    finder, before = _Finder(), set(sys.modules)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.split(".")[0] in (*STANDS_IN, OURS)]:
            if name not in before:
                _forget(name)


def _forget(name: str) -> None:
    """Forget a module, also as an attribute of its package, which the next import checks first."""
    del sys.modules[name]
    package, _, leaf = name.rpartition(".")
    if package in sys.modules:
        vars(sys.modules[package]).pop(leaf, None)


class Anything:
    """A stand-in for any object: calling, indexing, subclassing or joining it to a type does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Return itself, or a decorated class unchanged."""
        decorated = len(arguments) == 1 and not options and isinstance(arguments[0], type)
        return arguments[0] if decorated else self

    def __getitem__(self, index: Any) -> Any:
        return self

    def __or__(self, other: Any) -> Any:
        return self

    __ror__ = __or__

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return ()


class _StandIn(ModuleType):
    """A package whose attributes and submodules are all stand-ins."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()


def _field(pytree_node: bool = True, *, metadata: Any = None, **options: Any) -> Any:
    return dataclasses.field(metadata={**(metadata or {}), "pytree_node": pytree_node}, **options)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Claim every module of the replaced packages."""
        if name.split(".")[0] in STANDS_IN:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> ModuleType:
        """Return the stand-in; the one for flax supports dataclasses, whose fields we read."""
        module = _StandIn(spec.name)
        if spec.name == "flax":
            vars(module)["struct"] = SimpleNamespace(
                dataclass=dataclasses.dataclass(frozen=True), field=_field
            )
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: a stand-in has no code."""
