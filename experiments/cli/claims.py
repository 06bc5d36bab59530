"""Every claim: a file of `experiments/` that defines `EXPERIMENT`.

Commands find the claims here and pass them on, so that the code that runs and writes them imports none.
"""

import importlib
import pkgutil

from fpo_jax import experiments
from fpo_jax.experiments.runs.experiment import Experiment
from fpo_jax.experiments.sweeps.experiment import SweepExperiment


def discover() -> dict[str, Experiment | SweepExperiment]:
    """Return every claim by the name of its experiment."""
    modules = [info.name for info in pkgutil.iter_modules(experiments.__path__) if not info.ispkg]
    found = [importlib.import_module(f"{experiments.__name__}.{name}").EXPERIMENT for name in modules]
    return {experiment.name: experiment for experiment in found}
