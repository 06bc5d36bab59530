"""Benchmark: many seeds at once, runs per second and memory against their number."""

from collections.abc import Sequence

import jax

from fpo_jax.experiments.bench.compiled_run import CompiledRun
from fpo_jax.experiments.bench.rows import TIMED
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.core.timing import median_times

ENVIRONMENTS = ("bandit", "linear", "gridworld", "neural")
SATURATED = 0.9
"""The knee is the smallest width with this share of the best throughput."""


def bench_sweep(
    environments: Sequence[str], objectives: Sequence[str], widths: Sequence[int], repeats: int
) -> None:
    """Print throughput and memory by environment, objective and width, as soon as they are measured."""
    repeats = min(repeats, 5)  # wide ones take seconds
    device = jax.devices()[0]
    print(f"{jax.device_count()} × {device.device_kind}, JAX {jax.__version__}, float32")
    print(f"median of {repeats}, compilation excluded; few iterations, scaled to those of the recipe")
    print(f"{'environment':12s}{'objective':11s}{'seeds':>8s}{'seconds':>10s}{'a second':>10s}{'MB':>9s}")
    for environment in environments or ENVIRONMENTS:
        for objective in objectives:
            rates = {}
            for width in widths:
                seconds, megabytes = _measured(environment, objective, width, repeats)
                rates[width] = width / seconds
                numbers = f"{width:8d}{seconds:10.3g}{rates[width]:10.4g}{megabytes:9.4g}"
                print(f"{environment:12s}{objective:11s}{numbers}", flush=True)
            knee = min(width for width, rate in rates.items() if rate >= SATURATED * max(rates.values()))
            print(f"{environment}, {objective}: {SATURATED:.0%} of the best from {knee} seeds on")


def _measured(environment: str, objective: str, width: int, repeats: int) -> tuple[float, float]:
    """Return the seconds for whole runs of this many seeds, and the MB of their program."""
    wishes = {"environment": environment, "objective": objective, "record": "outcome"}
    settings = resolve({**wishes, "precision": "float32"})
    few = min(TIMED.get(environment, 320), settings.steps)
    run = CompiledRun(settings, width, few)
    seconds = median_times({"": run}, repeats)[""].wall
    return settings.steps / few * seconds, run.bytes / 1e6
