"""Timing of work that is already compiled."""

import statistics
import time
from collections.abc import Callable

import jax


def median_seconds(
    work: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the median time of `work` over repeats, after a first call that is not timed.

    With the clock `time.process_time` that is the time of all threads, which other processes disturb less.
    """
    jax.block_until_ready(work())  # compiles
    times = []
    for _ in range(repeats):
        started = clock()
        jax.block_until_ready(work())
        times.append(clock() - started)
    return statistics.median(times)
