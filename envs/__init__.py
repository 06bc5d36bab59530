"""Environments, one file each. A new file in this folder is found, listed, run and tested automatically.

An environment is a class with a `name`, a `recipe` and a method `draw`; see `fpo_jax.types.Environment`.
"""

import importlib
import inspect
import pkgutil
from typing import Any

if __name__ != "fpo_jax.envs":  # a second copy, from the folder of the checkout
    raise ModuleNotFoundError(f"{__name__} is now fpo_jax.envs", name=__name__)


def _discover() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        classes: list[Any] = [cls for _, cls in inspect.getmembers(module, inspect.isclass)]
        found |= {
            cls.name: cls for cls in classes if cls.__module__ == module.__name__ and hasattr(cls, "recipe")
        }
    return found


ENVIRONMENTS = _discover()
"""Every environment class by the name a user types."""
