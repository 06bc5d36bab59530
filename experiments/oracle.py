"""The independent NumPy oracle of the tests, which benchmarks time beside the package."""

import importlib.util
from pathlib import Path
from types import ModuleType

from fpo_jax.hyperparameters import InputError

PATH = Path(__file__).parents[1] / "tests" / "oracle.py"


def load_oracle() -> ModuleType:
    """Load the oracle from the checkout's tests.

    Raises:
        InputError: when there is none, as outside a checkout.
    """
    spec = importlib.util.spec_from_file_location("oracle", PATH)
    if not PATH.exists() or spec is None or spec.loader is None:
        raise InputError("bench", PATH, "there: run the benchmark from a checkout, with its tests/")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
