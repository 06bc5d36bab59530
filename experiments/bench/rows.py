"""The cost of every environment with every objective, compared with the eager oracle and the arithmetic
limit.

A row is one environment with one objective, by its recipe. A few iterations are timed and scaled to those of
the recipe. The objectives of an environment take turns, so that the same disturbances affect them all.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax

from fpo_jax.experiments.bench.arithmetic import Work, iteration
from fpo_jax.experiments.bench.compiled_run import CompiledRun
from fpo_jax.experiments.bench.eager_oracle import eager
from fpo_jax.experiments.bench.peak_rates import PeakRates
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.core.timing import Times, median_times

MEASURED = ("myopic", "relaxed", "practical", "exact")
TIMED = {
    "bandit": 320,
    "contextual": 16,
    "corridor": 320,
    "garnet": 64,
    "gridworld": 32,
    "language": 8,
    "neural": 16,
}
"""Timed iterations, by environment; elsewhere 320, or all if there are fewer."""


@dataclasses.dataclass(frozen=True)
class Row:
    """The cost of one environment with one objective; seconds are those of a whole run of the recipe.

    Attributes:
        environment, objective: by name.
        iterations, timed: number in the recipe, and number timed.
        seconds: for a seed, by the number of seeds at once.
        over_myopic: the ratio to the myopic objective, by the same; in CPU seconds, or in wall seconds on a
        device that is not a CPU. trace, lower, compile: seconds for all programs of the largest width; the
            last is XLA's.
        bytes: memory of the program of the iterations while it runs, with arguments and results, on all
            devices.
        oracle: seconds for a seed by the eager oracle, or None if there is none.
        work: of one iteration, or None if it is not counted.
        limit: seconds for the work of a seed at the machine's peak rates, or None.
    """

    environment: str
    objective: str
    iterations: int
    timed: int
    seconds: dict[int, Times]
    over_myopic: dict[int, float]
    trace: Times
    lower: Times
    compile: Times
    bytes: int
    oracle: Times | None
    work: Work | None
    limit: Times | None

    @property
    def best(self) -> Times:
        """Return the lowest seconds for a seed over all widths."""
        return min(self.seconds.values(), key=_clock)

    @property
    def times_limit(self) -> float | None:
        """Return the time of a seed at the best width, as a multiple of the limit."""
        return None if self.limit is None else _clock(self.best) / _clock(self.limit)

    @property
    def over_oracle(self) -> float | None:
        """Return the speedup over the oracle at the best width, in wall time."""
        return None if self.oracle is None else self.oracle.wall / min(s.wall for s in self.seconds.values())


def measure(
    environment: str,
    objectives: Sequence[str],
    widths: Sequence[int],
    repeats: int,
    precision: str,
    peak: PeakRates,
    iterations: int | None = None,
) -> list[Row]:
    """Return the rows of one environment; `iterations` are timed rather than those of `TIMED`."""
    wishes = {"environment": environment, "precision": precision, "record": "outcome"}
    every = {name: resolve({**wishes, "objective": name}) for name in objectives}
    whole = next(iter(every.values())).steps
    few = min(iterations or TIMED.get(environment, 320), whole)
    scale = whole / few
    seconds: dict[str, dict[int, Times]] = {name: {} for name in objectives}
    built: dict[str, CompiledRun] = {}
    for width in sorted(set(widths)):
        built = {name: CompiledRun(settings, width, few) for name, settings in every.items()}
        for name, times in median_times(built, repeats).items():
            seconds[name][width] = Times(*(scale * t / width for t in times))
    eagerly = {name: run for name, settings in every.items() if (run := eager(settings)) is not None}
    oracles = median_times({name: partial(run, few) for name, run in eagerly.items()}, min(repeats, 3))
    return [
        Row(
            environment,
            name,
            whole,
            few,
            seconds[name],
            _ratios(seconds[name], seconds.get("myopic")),
            **built[name].stages,
            bytes=built[name].bytes,
            oracle=Times(*(whole / few * t for t in oracles[name])) if name in oracles else None,
            work=(work := iteration(settings)),
            limit=None if work is None else peak.limit(whole * work),
        )
        for name, settings in every.items()
    ]


def _ratios(mine: dict[int, Times], myopic: dict[int, Times] | None) -> dict[int, float]:
    if myopic is None:
        return {}
    return {width: _clock(times) / _clock(myopic[width]) for width, times in mine.items()}


def _clock(times: Times) -> float:
    """Return the clock for comparisons: CPU seconds if the work runs on a CPU."""
    return times.cpu if jax.default_backend() == "cpu" else times.wall
