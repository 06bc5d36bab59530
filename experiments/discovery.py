"""Every experiment of this folder: a file that defines `EXPERIMENT` is one."""

import importlib
import pkgutil

import experiments
from experiments.comparison import Experiment
from experiments.sweep_experiment import SweepExperiment


def discover() -> dict[str, Experiment | SweepExperiment]:
    """Return every experiment by name."""
    found = {}
    for info in pkgutil.iter_modules(experiments.__path__):
        if not info.name.startswith("_"):
            module = importlib.import_module(f"experiments.{info.name}")
            if hasattr(module, "EXPERIMENT"):
                found[module.EXPERIMENT.name] = module.EXPERIMENT
    return found
