"""`fpo-jax bench`: measure the cost of everything on this machine."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fpo_jax.experiments.cli.options import OUTPUT_TITLE, PROGRAM, Device, options, parse

BenchmarkName = Literal[
    "environments",
    "linear",
    "tabular",
    "steering",
    "neural",
    "sweep",
    "kernels",
    "draws",
    "seeds-last",
    "coverage",
]


@options
class OfRuns:
    """What is measured."""

    which: Annotated[
        tuple[BenchmarkName, ...],
        tyro.conf.Positional,
        tyro.conf.arg(
            metavar="[BENCHMARK ...]",
            help="environments: all environments with all objectives, compared with an eager NumPy version "
            "and the arithmetic limit, and cold starts; linear: the published protocol, compared with NumPy; "
            "tabular: both solvers on gridworlds; steering: the implicit gradient as the reward model grows, "
            "and the memory of unrolling; neural: the published protocol, wide sweeps compared with NumPy, "
            "and where the time goes; sweep: throughput and memory by number of seeds; kernels: which "
            "kernels take the time; draws: ways to draw labels and tokens; seeds-last: a prototype of policy "
            "steps; coverage: how often confidence intervals contain the true mean",
        ),
    ] = ("environments",)
    only: tuple[str, ...] = ()
    """environments to measure, names in `fpo-jax list`; all, or four for `sweep`, when not given"""
    objectives: tuple[str, ...] = ("myopic", "relaxed", "practical", "exact")
    """objectives to measure in `environments`, `sweep` and `kernels`, names in `fpo-jax list`"""
    repeats: int = 9
    """number of timed repetitions, whose median is printed; an integer >= 1"""


@options
class OfEnvironments:
    """How the benchmark `environments` measures."""

    batches: tuple[int, ...] = (1, 16, 256)
    """numbers of seeds to run at once; integers >= 1; also for `kernels`"""
    iterations: int | None = None
    """iterations to time; an integer >= 1; 16 to 320, fewer in slow environments, when not given"""
    precision: Literal["float32", "float64"] = "float32"
    """floating-point precision"""
    cold: Literal["none", "last", "all"] = "last"
    """which cold starts to measure: none, with the last objective, or with all"""
    against: Annotated[
        str | None,
        tyro.conf.arg(
            help="another Python, such as .venv/newest/bin/python: measure with both, in turns, and print "
            "the ratio; only this one is measured when not given"
        ),
    ] = None


@options
class OfOthers:
    """Sizes of all other benchmarks."""

    widths: tuple[int, ...] = (1, 64, 4096)
    """numbers of seeds to run at once, for `linear`; integers >= 1"""
    neural_widths: tuple[int, ...] = (5, 64, 256)
    """numbers of seeds to run at once, for `neural`; integers >= 1"""
    sweep_widths: tuple[int, ...] = (1, 100, 1000, 10_000)
    """numbers of seeds to run at once, for `sweep`; integers >= 1"""
    sides: tuple[int, ...] = (5, 10, 20, 40, 100)
    """sides of the square gridworlds of `tabular`; rising integers >= 3; LU is used up to 40"""
    samples: tuple[int, ...] = (4, 8, 16, 32, 64)
    """numbers of seeds for which `coverage` measures intervals; integers >= 2"""


@options
class OfOutput:
    """What is written, and on which device."""

    out: Path | None = None
    """folder for the numbers, table and figure of `environments`; nothing is written when not given"""
    json: bool = False
    """print one JSON object on standard output at the end, instead of the table of `environments`"""
    device: Device | None = None
    """device to compute on; JAX's default when not given"""


PANELS = {
    "run": OfRuns,
    "environments benchmark": OfEnvironments,
    "other benchmarks": OfOthers,
    OUTPUT_TITLE: OfOutput,
}
"""All options in the order of the help."""


def bench_command(arguments: Sequence[str]) -> int:
    """Measure speed: seconds per seed by batch width, and cost by number of states."""
    given = parse(PANELS, arguments, "bench", description=bench_command.__doc__)
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
    if "draws" in given.which:
        from fpo_jax.experiments.bench.draws import bench_draws

        bench_draws(given.repeats)
    if "seeds-last" in given.which:
        from fpo_jax.experiments.bench.seeds_last import bench_seeds_last

        bench_seeds_last()
    if "coverage" in given.which:
        from fpo_jax.experiments.bench.coverage import bench_coverage

        bench_coverage(given.samples)
    if given.json:
        print(json.dumps(report, allow_nan=False))
    return 0
