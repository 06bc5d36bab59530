"""The measurements of one benchmark of all environments."""

import dataclasses
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import psutil

from fpo_jax.experiments.bench.cold_start import ColdStart
from fpo_jax.experiments.bench.eager_oracle import WITHOUT
from fpo_jax.experiments.bench.peak_rates import PeakRates
from fpo_jax.experiments.bench.rows import Row
from fpo_jax.experiments.core.files import provenance
from fpo_jax.experiments.core.timing import Times


class Benchmark(NamedTuple):
    """The measurements of one run on one machine.

    Attributes:
        command, precision, repeats: as requested.
        peak: rates of the machine.
        rows: one for each environment and objective.
        cold: cold starts, by environment and objective.
    """

    command: str
    precision: str
    repeats: int
    peak: PeakRates
    rows: Sequence[Row]
    cold: Mapping[tuple[str, str], Mapping[str, ColdStart]]


def as_json(bench: Benchmark) -> dict[str, Any]:
    """Return everything as one JSON object, with the data to compare machines."""
    memory = round(psutil.virtual_memory().total / 2**30, 1)
    return {
        **provenance(bench.command, bench.precision),
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "devices": jax.local_device_count(),
            "memory_GiB": memory,
        },
        "repeats": bench.repeats,
        "peak_per_second": {
            name: getattr(bench.peak, name)._asdict() for name in ("flops", "transcendentals")
        },
        "rows": [_flat(row) for row in bench.rows],
        "cold_starts": [
            {"environment": environment, "objective": objective}
            | {kind: {**start.whole._asdict(), **start.stages} for kind, start in starts.items()}
            for (environment, objective), starts in bench.cold.items()
        ],
        "without_oracle": [
            {"environment": environment, "objective": objective, "reason": reason}
            for (environment, objective), reason in WITHOUT.items()
        ],
    }


def _flat(row: Row) -> dict[str, Any]:
    """Return a row with seconds by width, and the ratios."""

    def seconds(times: Times | None) -> dict[str, float] | None:
        return None if times is None else times._asdict()

    return {
        "environment": row.environment,
        "objective": row.objective,
        "iterations": row.iterations,
        "timed": row.timed,
        "seconds_per_seed": {str(width): seconds(times) for width, times in row.seconds.items()},
        "over_myopic": {str(width): ratio for width, ratio in row.over_myopic.items()},
        "trace_seconds": seconds(row.trace),
        "lower_seconds": seconds(row.lower),
        "compile_seconds": seconds(row.compile),
        "bytes": row.bytes,
        "oracle_seconds": seconds(row.oracle),
        "over_oracle": row.over_oracle,
        "work": None if row.work is None else dataclasses.asdict(row.work),
        "limit_seconds": seconds(row.limit),
        "times_limit": row.times_limit,
    }


def _processor() -> str:
    """Return the processor's name, if the system provides it."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    found = [line.split(":")[1].strip() for line in told.splitlines() if line.startswith("model name")]
    return found[0] if found else platform.processor()
