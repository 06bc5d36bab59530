"""`fpo-jax bench`: what everything costs on this machine."""

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
    """environments: all of them under all objectives, beside the eager NumPy oracle and the arithmetic
    limit, and cold starts; linear: beside the oracle by the published protocol; tabular: a gridworld by
    either solve; steering: the implicit gradient as the reward model grows, and the memory of unrolling;
    neural: the published protocol, wide sweeps beside the oracle, and where the time goes; sweep: throughput
    and memory by the number of seeds; kernels: what takes the time within the iterations; seeds-last: a
    prototype of policy steps; coverage: how often the interval of a mean holds it."""
    only: tuple[str, ...] = ()
    """Environments to measure; when not given, all, and four of them by `sweep`."""
    objectives: tuple[str, ...] = ("myopic", "relaxed", "practical", "exact")
    """Objectives to measure in every environment, and by `sweep`."""
    batches: tuple[int, ...] = (1, 16, 256)
    """Numbers of seeds of every environment that run at once."""
    iterations: int | None = None
    """Iterations that are timed in every environment; 16 to 320, as it is slow or fast, when not given."""
    precision: Literal["float32", "float64"] = "float32"
    """Precision of every environment."""
    cold: Literal["none", "last", "all"] = "last"
    """Cold starts of every environment: none, under the last of the objectives, or under all."""
    against: str | None = None
    """Another Python, such as .venv/newest/bin/python: measure every environment by either, in turns, and
    print the ratio."""
    json: bool = False
    """End with one JSON object on standard output, in place of the table of all environments."""
    out: Path | None = None
    """Folder for the numbers of all environments, their table and the figure."""
    widths: tuple[int, ...] = (1, 64, 4096)
    """Numbers of seeds of the linear environment that run at once."""
    neural_widths: tuple[int, ...] = (5, 64, 256)
    """Numbers of seeds of the neural environment that run at once."""
    sweep_widths: tuple[int, ...] = (1, 100, 1000, 10_000)
    """Numbers of seeds that `sweep` runs at once."""
    sides: tuple[int, ...] = (5, 10, 20, 40, 100)
    """Sides of the square gridworlds, rising; LU up to 40."""
    samples: tuple[int, ...] = (4, 8, 16, 32, 64)
    """Numbers of seeds on which intervals rest, where their coverage is measured."""
    repeats: int = 9
    """Timed repetitions, of which the median is printed."""
    device: Device | None = None
    """Where to compute; where JAX likes best when not given."""


def bench_command(arguments: Sequence[str]) -> int:
    """Measure speed: seconds per seed against batch width, and cost against the number of states."""
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
        raise InputError("which", " ".join(given.which), "environments among others, for --json or --out")
    if given.against is not None and (given.which != ("environments",) or given.out is not None):
        raise InputError("against", given.against, "left out beside --out and beside other benchmarks")
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
