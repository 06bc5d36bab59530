"""Benchmark: the neural environment, the paper's protocol and wide sweeps, compared with the NumPy oracle."""

import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial

import jax
import numpy as np

from fpo_jax.experiments.bench import numpy_oracle
from fpo_jax.experiments.bench.compiled_run import CompiledRun
from fpo_jax.experiments.bench.neural_parts import PEAK, measure
from fpo_jax.experiments.core.settings import Settings, resolve
from fpo_jax.experiments.core.timing import median_seconds
from fpo_jax.experiments.runs.execution import execute

PUBLISHED_SEEDS = 5
TIMED = 200
"""Timed iterations, scaled to the published number."""
COMMON = {"environment": "neural", "objective": "fpo", "precision": "float32"}
PROTOCOL = {
    "RLHF": {**COMMON, "weight": 0.0},
    "relaxed 0.005": {**COMMON, "weight": 0.005, "oracle": 1.0},
    "practical 0.005": {**COMMON, "weight": 0.005, "oracle": 0.0},
}
"""The published arms, run by one program as in the claim `neural`."""
PAIR = {"RLHF": "myopic", "relaxed 0.005": "relaxed"}
"""Objectives by the names of two of the arms."""


def bench_neural(widths: Sequence[int], repeats: int) -> None:
    """Print the time of the published protocol, that of a pair of runs by batch width, and where it goes."""
    repeats = min(repeats, 5)  # each takes seconds
    steps = resolve(PROTOCOL["RLHF"]).steps
    print(f"neural environment, {steps} iterations, float32, {jax.local_device_count()} devices")
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", PROCESS], check=True)
    seconds = time.perf_counter() - started
    print(
        f"published protocol, {PUBLISHED_SEEDS} seeds × {', '.join(PROTOCOL)}, cold process: {seconds:.1f} s"
    )

    oracle = {label: _oracle_seconds(label) * steps for label in PAIR}
    print(f"eager NumPy oracle, float64, one seed: {', '.join(f'{k} {v:.1f} s' for k, v in oracle.items())}")
    print(f"\n{TIMED} iterations, scaled to {steps}; median of {repeats}, compilation excluded")
    print(f"{'seeds':>6s}{'s/seed, RLHF + relaxed':>25s}{'CPU s':>8s}{'oracle':>9s}{'ratio':>7s}")
    scale = steps / TIMED
    for width in widths:
        programs = [CompiledRun(_settings(label), width, TIMED) for label in PAIR]
        pair, cpu = (
            sum(median_seconds(program, repeats, clock) for program in programs) * scale / width
            for clock in (time.perf_counter, time.process_time)
        )
        print(
            f"{width:6d}{pair:25.3f}{cpu:8.3f}{sum(oracle.values()):9.1f}{sum(oracle.values()) / pair:7.0f}"
        )
    _print_parts(widths[-1], repeats, steps)


PROCESS = f"""
from fpo_jax.experiments.core.devices import collect_rarely, suit_compiler, use_every_core
use_every_core()
suit_compiler()
collect_rarely()
from fpo_jax.experiments.bench.neural import protocol
protocol({PUBLISHED_SEEDS})
"""


def protocol(seeds: int) -> None:
    """Run every published arm over this many seeds."""
    for wishes in PROTOCOL.values():
        execute(resolve({**wishes, "seeds": seeds, "record": "outcome"}))


def _settings(label: str) -> Settings:
    wishes = {"environment": "neural", "objective": PAIR[label], "precision": "float32"}
    return resolve({**wishes, "steps": TIMED})


def _oracle_seconds(label: str, iterations: int = 100) -> float:
    """Return the oracle's seconds an iteration."""
    rng = np.random.default_rng(0)
    widths = ((32, 10), (32, 32), (1, 32))
    weights, biases = [0.1 * rng.normal(size=w) for w in widths], [np.zeros(w[0]) for w in widths]
    noise = rng.normal(size=(iterations, 15, 10)), rng.normal(size=(iterations, 5, 10))
    reference = numpy_oracle.NeuralOracle("relaxed" if label != "RLHF" else "myopic")
    return median_seconds(partial(reference.run, weights, biases, *noise), 1) / iterations


def _print_parts(width: int, repeats: int, steps: int) -> None:
    """Print the time of one run and its parts, what they compute, and the ratio to the necessary
    arithmetic.
    """
    label = "relaxed 0.005"
    parts = measure(_settings(label), width, repeats, steps)
    peak, run = parts[PEAK], parts["one run"]
    print(f"\nwhere it goes: CPU seconds of one run of {label} a seed, {width} seeds")
    print("each part alone; multiply-adds in products, and softplus, of one iteration")
    columns = {"CPU s": 8, "of run": 8, "multiply-adds": 15, "softplus": 10, "GFLOP/s": 9, "of peak": 9}
    print(f"{'part':25s}" + "".join(f"{name:>{wide}s}" for name, wide in columns.items()))
    for name, part in parts.items():
        line = f"{name:25s}{part.seconds:8.4f}{part.seconds / run.seconds:8.0%}"
        if part.multiply_adds:
            rate = part.rate(steps)
            line += (
                f"{part.multiply_adds:15d}{part.softplus or '':>10}{rate:9.1f}{rate / peak.rate(steps):9.0%}"
            )
        elif part.softplus:
            line += f"{'':15s}{part.softplus:10d}"
        print(line)
    each = parts["softplus, slope"].seconds / run.softplus / steps
    limit = 2e-9 * run.multiply_adds * steps / peak.rate(steps) + parts["softplus, slope"].seconds
    print(f"one softplus with its slope: {each * 1e9:.1f} ns; peak: the product {PEAK} alone, for every seed")
    print(f"limit, all products at peak and softplus alone: {limit:.4f} s")
    print(f"one run takes {run.seconds / limit:.1f} times the limit")
