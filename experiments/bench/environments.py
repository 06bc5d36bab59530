"""Benchmark: every environment with every objective, and cold starts, as table, JSON and figure."""

import sys
from pathlib import Path
from typing import Any, Protocol

from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.errors import InputError, require_known
from fpo_jax.experiments.bench.cold_start import ColdStart, cold_starts
from fpo_jax.experiments.bench.compiled_run import nothing_kept
from fpo_jax.experiments.bench.files import write
from fpo_jax.experiments.bench.peak_rates import peak_rates
from fpo_jax.experiments.bench.result import Benchmark, as_json
from fpo_jax.experiments.bench.rows import Row, measure
from fpo_jax.experiments.bench.table import lines
from fpo_jax.experiments.core.result_folder import require_writable
from fpo_jax.hyperparameters import count, require
from fpo_jax.objectives import OBJECTIVES

MOST_REPEATS = 5
"""Wide batches take seconds."""


class BenchArguments(Protocol):
    """The options of `fpo-jax bench` for this benchmark."""

    only: tuple[str, ...]
    objectives: tuple[str, ...]
    batches: tuple[int, ...]
    iterations: int | None
    precision: Any
    cold: Any
    repeats: int
    json: bool
    out: Path | None


def chosen_environments(asked: BenchArguments) -> tuple[str, ...]:
    """Return the environments to measure, after checking the request.

    Raises:
        InputError: names an unknown environment or objective.
    """
    environments = tuple(dict.fromkeys(asked.only)) or tuple(ENVIRONMENTS)
    for name in environments:
        require_known("only", name, ENVIRONMENTS)
    for name in asked.objectives:
        require_known("objectives", name, OBJECTIVES)
    if not asked.objectives:
        raise InputError("objectives", "nothing", "one or more")
    if asked.iterations is not None:
        require("iterations", asked.iterations, count(1, "iterations that are timed"))
    return environments


def bench_environments(asked: BenchArguments, command: str) -> dict[str, Any]:
    """Measure, print the table unless JSON is requested, write the folder if there is one, and return the
    JSON.

    Progress goes to standard error.

    Raises:
        InputError: names an unknown environment or objective, or a folder that cannot be written.
    """
    environments, objectives = chosen_environments(asked), tuple(dict.fromkeys(asked.objectives))
    if asked.out is not None:
        require_writable(asked.out)
    repeats = min(asked.repeats, MOST_REPEATS)
    rows: list[Row] = []
    with nothing_kept():
        peak = peak_rates(asked.precision)
        for name in environments:
            sys.stderr.write(f"{name} …\n")
            rows += measure(name, objectives, asked.batches, repeats, asked.precision, peak, asked.iterations)
    cold: dict[tuple[str, str], dict[str, ColdStart]] = {}
    chosen = {"none": (), "last": objectives[-1:], "all": objectives}[asked.cold]
    for name in environments:
        for objective in chosen:
            sys.stderr.write(f"{name}, {objective}, cold …\n")
            cold[name, objective] = cold_starts(name, objective)
    bench = Benchmark(command, asked.precision, repeats, peak, rows, cold)
    if not asked.json:
        print("\n".join(lines(bench)))
    if asked.out is not None:
        write(asked.out, bench)
        sys.stderr.write(f"written to {asked.out}\n")
    return as_json(bench)
