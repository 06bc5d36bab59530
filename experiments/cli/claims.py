"""Every claim: a file of `experiments/` that defines `EXPERIMENT`.

Commands find the claims here and pass them on, so that the code that runs and writes them imports none.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from fpo_jax import experiments

if TYPE_CHECKING:  # for names alone nothing is imported
    from fpo_jax.experiments.runs.experiment import Experiment
    from fpo_jax.experiments.sweeps.experiment import SweepExperiment

FILES = [info.name for info in pkgutil.iter_modules(experiments.__path__) if not info.ispkg]
"""Names of all files with a claim."""


def discover() -> dict[str, Experiment | SweepExperiment]:
    """Return every claim by the name of its experiment."""
    found = [importlib.import_module(f"{experiments.__name__}.{name}").EXPERIMENT for name in FILES]
    return {experiment.name: experiment for experiment in found}
