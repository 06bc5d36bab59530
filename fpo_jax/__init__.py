"""fpo_jax: exact parameter-steering gradients for iterative RLHF, in environments small enough to check.

A policy is a differentiable weighted sample of responses; everything else follows. `fpo_jax.types` defines
the terms, `fpo_jax.steering` the decomposition, `fpo_jax.run` the loop.
"""

from typing import Any

from fpo_jax import moved, supported  # first, since the rest may fail to import on a version that it refuses

supported.check()
moved.watch()

import lazy_loader

# The names are in `__init__.pyi` and are imported on first use, because importing JAX takes long.
_exported, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name != "__version__":
        return _exported(name)
    import importlib.metadata

    try:
        return importlib.metadata.version("fpo-jax")
    except importlib.metadata.PackageNotFoundError:  # on the path, and not installed
        return "0+unknown"
