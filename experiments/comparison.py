"""What every experiment is: a claim, methods to compare on the same seeds, and figures of the outcome."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

import experiments
from experiments.running import Result, execute, summary
from experiments.settings import resolve
from fpo_jax.plotting import Picture


class Experiment(NamedTuple):
    """One claim and how it is put to the test.

    Attributes:
        name: its folder and the word after `--only`.
        claim: what it is meant to show, in one sentence.
        methods: settings by the label of the method; all run on the same seeds.
        figures: makes the figures, by file name, from the results by label.
        seeds: how many seeds by default.
        of_run: makes the figures that any run of the environment of this name gets besides its curves.
        findings: says in Markdown what follows from the results beyond the table.
        long: takes minutes, so that it is run only when it is named.
        every: keeps only every so many iterations in the numbers that are written.
    """

    name: str
    claim: str
    methods: Mapping[str, Mapping[str, Any]]
    figures: Callable[[Mapping[str, Result]], Mapping[str, Picture]]
    seeds: int = 64
    of_run: Callable[[Mapping[str, Result]], Mapping[str, Picture]] = lambda results: {}
    findings: Callable[[Mapping[str, Result]], str] = lambda results: ""
    long: bool = False
    every: int = 1


def discover() -> dict[str, Experiment]:
    """Return every experiment of this folder by name: a file that defines `EXPERIMENT` is one."""
    found = {}
    for info in pkgutil.iter_modules(experiments.__path__):
        if not info.name.startswith("_"):
            module = importlib.import_module(f"experiments.{info.name}")
            if hasattr(module, "EXPERIMENT"):
                found[module.EXPERIMENT.name] = module.EXPERIMENT
    return found


def compare(experiment: Experiment, seeds: int) -> Iterator[tuple[str, Result]]:
    """Run every method of an experiment, one after the other, on the same seeds.

    The steering term is recorded only where a method asks for it: computing it takes longer than most runs.
    """
    for label, wishes in experiment.methods.items():
        yield label, execute(resolve({"record": "outcome", **wishes, "seeds": seeds}))


def rows(results: Mapping[str, Result]) -> list[dict[str, Any]]:
    """Return the table of an experiment: each method's label, command and summary."""
    return [
        {"method": label, "command": result.settings.command()} | summary(result)
        for label, result in results.items()
    ]


def arrays(results: Mapping[str, Result], every: int = 1) -> dict[str, np.ndarray]:
    """Return the numbers behind the curves, as `label/metric` arrays of shape [seed, entry], and `seed`."""
    return {
        f"{label}/{name}": values
        for label, result in results.items()
        for name, values in {
            **{name: values[:, ::every] for name, values in result.metrics.items()},
            "seed": result.seeds,
        }.items()
    }
