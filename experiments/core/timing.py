"""Timing of compiled work."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax


class Times(NamedTuple):
    """Wall seconds, and CPU seconds of all threads of this process."""

    wall: float
    cpu: float


def median_seconds(
    work: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the median time of `work` over repeats, after an untimed first call.

    With the clock `time.process_time` this is the time of all threads, which other processes disturb less.
    """
    jax.block_until_ready(work())  # compiles
    times = []
    for _ in range(repeats):
        started = clock()
        jax.block_until_ready(work())
        times.append(clock() - started)
    return statistics.median(times)


def timed(work: Callable[[], Any]) -> tuple[Any, Times]:
    """Return the result of `work`, and the time of the call."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = jax.block_until_ready(work())
    return result, Times(time.perf_counter() - wall, time.process_time() - cpu)


def median_times(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Times]:
    """Return the median times of several works, taken in turns, so that a disturbance meets all of them.

    The first round is not timed.
    """
    rounds = [{name: timed(work)[1] for name, work in works.items()} for _ in range(repeats + 1)][1:]
    return {
        name: Times(*map(statistics.median, zip(*(each[name] for each in rounds), strict=True)))
        for name in works
    }
