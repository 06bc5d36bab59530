"""Every claim: a file of `experiments/` that defines `EXPERIMENT`."""

import importlib
import pkgutil

from fpo_jax import experiments
from fpo_jax.experiments.runs.experiment import Experiment
from fpo_jax.experiments.sweeps.experiment import SweepExperiment


def discover() -> dict[str, Experiment | SweepExperiment]:
    """Return every experiment by name."""
    found = {}
    for info in pkgutil.iter_modules(experiments.__path__):
        if not info.ispkg:
            module = importlib.import_module(f"{experiments.__name__}.{info.name}")
            if hasattr(module, "EXPERIMENT"):
                found[module.EXPERIMENT.name] = module.EXPERIMENT
    return found
