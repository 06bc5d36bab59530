"""`fpo-jax bench`: measure the cost of everything on this machine."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fpo_jax.experiments.cli.options import PROGRAM, Device, options, parse

BenchmarkName = Literal[
    "environments", "linear", "tabular", "steering", "neural", "sweep", "kernels", "seeds-last", "coverage"
]


@options
class BenchOptions:
    """Options of this command."""

    which: Annotated[tuple[BenchmarkName, ...], tyro.conf.Positional] = ("environments",)
    """environments: all environments with all objectives, compared with an eager NumPy version and the
    arithmetic limit, and cold starts; linear: the published protocol, compared with NumPy; tabular: both
    solvers on gridworlds; steering: the implicit gradient as the reward model grows, and the memory of
    unrolling; neural: the published protocol, wide sweeps compared with NumPy, and where the time goes;
    sweep: throughput and memory by number of seeds; kernels: which kernels take the time; seeds-last: a
    prototype of policy steps; coverage: how often confidence intervals contain the true mean.
    """
    only: tuple[str, ...] = ()
    """Environments to measure; when not given, all of them, or four for `sweep`."""
    objectives: tuple[str, ...] = ("myopic", "relaxed", "practical", "exact")
    """Objectives to measure in every environment, and in `sweep`."""
    batches: tuple[int, ...] = (1, 16, 256)
    """Numbers of seeds to run at once, for every environment."""
    iterations: int | None = None
    """Iterations to time in every environment; when not given, 16 to 320, fewer in slow environments."""
    precision: Literal["float32", "float64"] = "float32"
    """Floating-point precision of every environment."""
    cold: Literal["none", "last", "all"] = "last"
    """Which cold starts to measure in every environment: none, with the last objective, or with all."""
    against: str | None = None
    """Another Python, such as .venv/newest/bin/python: measure every environment with both, in turns, and
    print the ratio.
    """
    json: bool = False
    """Print one JSON object on standard output at the end, instead of the table of all environments."""
    out: Path | None = None
    """Folder for the numbers, table and figure of all environments."""
    widths: tuple[int, ...] = (1, 64, 4096)
    """Numbers of seeds to run at once, for the linear environment."""
    neural_widths: tuple[int, ...] = (5, 64, 256)
    """Numbers of seeds to run at once, for the neural environment."""
    sweep_widths: tuple[int, ...] = (1, 100, 1000, 10_000)
    """Numbers of seeds to run at once, for `sweep`."""
    sides: tuple[int, ...] = (5, 10, 20, 40, 100)
    """Sides of the square gridworlds, in rising order; LU is used up to 40."""
    samples: tuple[int, ...] = (4, 8, 16, 32, 64)
    """Numbers of seeds for which to measure the coverage of intervals."""
    repeats: int = 9
    """Number of timed repetitions, whose median is printed."""
    device: Device | None = None
    """Device to compute on; JAX's default when not given."""


def bench_command(arguments: Sequence[str]) -> int:
    """Measure speed: seconds per seed by batch width, and cost by number of states."""
    given = parse(BenchOptions, arguments, "bench", description=bench_command.__doc__)
    from fpo_jax.errors import InputError
    from fpo_jax.experiments.core.devices import use_device
    from fpo_jax.hyperparameters import count, require

    use_device(given.device)
    for name in ("batches", "widths", "neural_widths", "sweep_widths"):
        if not getattr(given, name) or min(getattr(given, name)) < 1:
            raise InputError(name, getattr(given, name), "one or more integers >= 1")
    if not given.samples or min(given.samples) < 2:
        raise InputError("samples", given.samples, "one or more integers >= 2")
    if not given.sides or min(given.sides) < 3 or list(given.sides) != sorted(set(given.sides)):
        raise InputError("sides", given.sides, "one or more rising integers >= 3")
    require("repeats", given.repeats, count(9, "timed repetitions"))
    if "environments" not in given.which and (given.json or given.out is not None):
        raise InputError("which", " ".join(given.which), "a list with environments, for --json or --out")
    if given.against is not None and (given.which != ("environments",) or given.out is not None):
        raise InputError("against", given.against, "omitted when --out or other benchmarks are given")
    report = None
    if given.against is not None:
        from fpo_jax.experiments.bench.against import bench_against
        from fpo_jax.experiments.bench.environments import chosen_environments

        bench_against(given.against, chosen_environments(given), given)
        return 0
    if "sweep" in given.which:
        from fpo_jax.experiments.bench.environments import chosen_environments
        from fpo_jax.experiments.bench.sweep import bench_sweep

        chosen = chosen_environments(given) if given.only else ()
        bench_sweep(chosen, given.objectives, given.sweep_widths, given.repeats)
    if "environments" in given.which:
        from fpo_jax.experiments.bench.environments import bench_environments

        words = [PROGRAM, "bench", *arguments]
        report = bench_environments(given, shlex.join(words))
    if "linear" in given.which:
        from fpo_jax.experiments.bench.linear import bench_linear

        bench_linear(given.widths, given.repeats)
    if "tabular" in given.which:
        from fpo_jax.experiments.bench.tabular import bench_tabular

        bench_tabular(given.sides, given.repeats)
    if "steering" in given.which:
        from fpo_jax.experiments.bench.steering import bench_steering

        bench_steering(given.repeats)
    if "neural" in given.which:
        from fpo_jax.experiments.bench.neural import bench_neural

        bench_neural(given.neural_widths, given.repeats)
    if "kernels" in given.which:
        from fpo_jax.experiments.bench.environments import chosen_environments
        from fpo_jax.experiments.bench.kernels import bench_kernels

        bench_kernels(chosen_environments(given), given.objectives, given.batches)
    if "seeds-last" in given.which:
        from fpo_jax.experiments.bench.seeds_last import bench_seeds_last

        bench_seeds_last()
    if "coverage" in given.which:
        from fpo_jax.experiments.bench.coverage import bench_coverage

        bench_coverage(given.samples)
    if given.json:
        print(json.dumps(report, allow_nan=False))
    return 0
