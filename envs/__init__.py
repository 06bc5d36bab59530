"""Environments: one file each, found by looking; a new file in this folder is listed, run and tested.

An environment is a class with a `name`, a `recipe` and a method `draw`; see `fpo_jax.types.Environment`.
"""

import importlib
import inspect
import pkgutil


def _discover() -> dict[str, type]:
    found = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__ == module.__name__ and hasattr(cls, "recipe"):
                found[cls.name] = cls
    return found


ENVIRONMENTS = _discover()
"""Every environment class by the name a user types."""
