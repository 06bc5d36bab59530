"""Timing of work that is already compiled."""

import statistics
import time
from collections.abc import Callable

import jax


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the median time of `work` over repeats, after a first call that is not timed."""
    jax.block_until_ready(work())  # compiles
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(work())
        times.append(time.perf_counter() - started)
    return statistics.median(times)
