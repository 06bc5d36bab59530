"""Benchmark: sweeps, runs per second and memory against the width of a chunk, and one long call."""

import math
import time
from collections.abc import Sequence

import jax
import numpy as np

from fpo_jax.engine.sweep import Cell, Sweep
from fpo_jax.experiments.core.settings import in_precision, resolve
from fpo_jax.experiments.core.timing import median_seconds

TIMED = {"bandit": 100, "linear": 100, "gridworld": 20}
"""Iterations that are timed, by environment."""
SATURATED = 0.9
"""The knee is the least width at which this share of the best throughput is reached."""
LONG = {"environment": "bandit", "objective": "exact", "steps": 3000}
LONG_SEEDS = 4096


def bench_sweep(widths: Sequence[int], repeats: int) -> None:
    """Print throughput and memory by environment and width, where throughput saturates, and one long call."""
    repeats = min(repeats, 5)  # wide ones take seconds
    print(f"relaxed FPO, float32, {jax.device_count()} devices; median of {repeats}, compilation excluded;")
    print(f"{', '.join(f'{k} {v}' for k, v in TIMED.items())} iterations, scaled to those of the recipe")
    print(f"{'':18s}{'width':>7s}{'seeds per second':>18s}{'of the best':>13s}{'kB a seed':>11s}")
    for environment, steps in TIMED.items():
        rates, memory = {}, {}
        for asked in widths:
            width, rate, kilobytes = _measured(environment, steps, asked, repeats)
            rates[width], memory[width] = rate, kilobytes
        best = max(rates.values())
        whole = resolve({"environment": environment}).steps
        for width, rate in rates.items():
            name = f"{environment} × {whole}"
            print(f"{name:18s}{width:7d}{rate / whole:18.4g}{rate / best:13.0%}{memory[width]:11.1f}")
        knee = min(width for width, rate in rates.items() if rate >= SATURATED * best)
        print(f"{environment}: {SATURATED:.0%} of the best from width {knee} on")
    settings = resolve({**LONG, "precision": "float32"})
    with in_precision("float32"):
        cells, seeds = [Cell(*settings.build())], range(LONG_SEEDS)
        sweep = Sweep(cells, seeds, steps=settings.steps, every=60, width=LONG_SEEDS)
        started = time.perf_counter()
        lanes = sweep.compute(sweep.chunks[0])
        seconds = time.perf_counter() - started
    assert np.isfinite(lanes.metrics["true_utility"]).all()
    what = f"bandit, exact steering, {LONG_SEEDS} seeds × {settings.steps} iterations"
    print(f"{what} in one call: {seconds:.1f} s")


def _measured(environment: str, steps: int, width: int, repeats: int) -> tuple[int, float, float]:
    """Return a width that all devices share evenly, iterations of a run per second there, kilobytes a run."""
    settings = resolve({"environment": environment, "objective": "relaxed", "precision": "float32"})
    with in_precision("float32"):
        sweep = Sweep([Cell(*settings.build())], range(width), steps=steps, every=steps, width=width)
        few = math.ceil(1024 / width)  # calls a measurement, so that it lasts

        def work() -> None:
            for _ in range(few):
                sweep.compute(sweep.chunks[0])

        seconds = median_seconds(work, repeats) / few
        return sweep.width, sweep.width * steps / seconds, sweep.chunk_bytes() / sweep.width / 1e3
