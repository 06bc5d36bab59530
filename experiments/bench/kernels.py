"""Benchmark: which kernels of the compiled iterations take the time, as JAX's profiler sees them."""

import collections
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jax

from fpo_jax.experiments.bench.compiled_run import CompiledRun, nothing_kept
from fpo_jax.experiments.core.settings import resolve

ITERATIONS, SHOWN = 100, 10
LIBRARIES = ("dot", "ynn", "custom-call", "cholesky", "triangular")
"""Words in the names of kernels that are products or library calls."""


def bench_kernels(environments: Sequence[str], objectives: Sequence[str], widths: Sequence[int]) -> None:
    """Print, for each environment, objective and width, the kernels that take most of an iteration.

    Microseconds of an iteration: the median time of a kernel times the number of its runs. This includes the
    profiler's own time.
    """
    print(f"{jax.device_count()} × {jax.devices()[0].device_kind}, JAX {jax.__version__}, float32")
    for environment in environments:
        for objective in objectives:
            for width in widths:
                found = _kernels(environment, objective, width)
                calls = sum(us for name, (us, _) in found.items() if any(word in name for word in LIBRARIES))
                total = sum(us for us, _ in found.values())
                told = f"{total:.0f} µs an iteration, {calls:.0f} in products and libraries"
                print(f"\n{environment}, {objective}, {width} seeds: {told}")
                for name, (us, times) in sorted(found.items(), key=lambda item: -item[1][0])[:SHOWN]:
                    print(f"{us:9.2f} µs {times:7.1f} times  {name[:80]}", flush=True)


def _kernels(environment: str, objective: str, width: int) -> dict[str, tuple[float, float]]:
    """Return, by kernel, microseconds in an iteration and the number of runs in it."""
    wishes = {"environment": environment, "objective": objective, "record": "outcome"}
    with nothing_kept(), tempfile.TemporaryDirectory() as folder:
        run = CompiledRun(resolve({**wishes, "precision": "float32"}), width, ITERATIONS)
        jax.block_until_ready(run())
        with jax.profiler.trace(folder):
            jax.block_until_ready(run())
        traces = sorted(Path(folder).rglob("*.xplane.pb"))
        lasted: dict[str, list[float]] = collections.defaultdict(list)
        for plane in jax.profiler.ProfileData.from_file(str(traces[0])).planes:
            for line in plane.lines:
                for event in line.events:
                    lasted[event.name].append(event.duration_ns / 1e3)
    often = {name: times for name, times in lasted.items() if len(times) > ITERATIONS / 2}
    kernels = {name: times for name, times in often.items() if name[0] != "$" and "Execute" not in name}
    return {
        name: (statistics.median(times) * len(times) / ITERATIONS, len(times) / ITERATIONS)
        for name, times in kernels.items()
    }
