"""Benchmark: sweeps, runs per second and memory against the width of a chunk, and one long call."""

import math
import time
from collections.abc import Sequence

import jax
import numpy as np

from experiments.settings import in_precision, resolve
from experiments.timing import median_seconds
from fpo_jax.sweep import Cell, Sweep

TIMED = {"bandit": 100, "linear": 100, "gridworld": 20}
"""Iterations that are timed, by environment."""
SATURATED = 0.9
"""The knee is the least width at which this share of the best throughput is reached."""
LONG = {"environment": "bandit", "objective": "exact", "steps": 3000}
LONG_SEEDS = 4096


def bench_sweep(widths: Sequence[int], repeats: int) -> None:
    """Print throughput and memory by environment and width, where throughput saturates, and one long call."""
    repeats = min(repeats, 5)  # wide ones take seconds
    print(f"relaxed FPO, float32, {jax.device_count()} devices; median of {repeats}, compilation excluded")
    print(
        f"{'':10s}{'width':>7s}{'iterations of a run per second':>32s}{'of the best':>13s}{'kB a run':>10s}"
    )
    for environment, steps in TIMED.items():
        rates, memory = {}, {}
        for width in widths:
            rates[width], memory[width] = _measured(environment, steps, width, repeats)
        best = max(rates.values())
        for width, rate in rates.items():
            print(f"{environment:10s}{width:7d}{rate:32.3g}{rate / best:13.0%}{memory[width]:10.1f}")
        knee = min(width for width, rate in rates.items() if rate >= SATURATED * best)
        print(f"{environment:10s} knee: {SATURATED:.0%} of the best from width {knee} on")
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


def _measured(environment: str, steps: int, width: int, repeats: int) -> tuple[float, float]:
    """Return iterations of a run per second, and kilobytes a run, at a width."""
    settings = resolve({"environment": environment, "objective": "relaxed", "precision": "float32"})
    with in_precision("float32"):
        sweep = Sweep([Cell(*settings.build())], range(width), steps=steps, every=steps, width=width)
        few = math.ceil(1024 / width)  # calls a measurement, so that it lasts

        def work() -> None:
            for _ in range(few):
                sweep.compute(sweep.chunks[0])

        seconds = median_seconds(work, repeats) / few
        return sweep.width * steps / seconds, sweep.chunk_bytes() / sweep.width / 1e3
