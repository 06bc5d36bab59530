"""What every environment costs under every objective, beside the eager oracle and the arithmetic limit.

A row is one environment under one objective, by its recipe. Few iterations are timed and scaled to those of
the recipe, the objectives of an environment in turns, so that their ratios meet the same disturbances.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax

from fpo_jax.experiments.bench.arithmetic import Work, iteration
from fpo_jax.experiments.bench.compiled_run import CompiledRun
from fpo_jax.experiments.bench.eager_oracle import eager
from fpo_jax.experiments.bench.peak_rates import Peak
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
"""Iterations that are timed, by environment; elsewhere 320, or all if they are fewer."""


@dataclasses.dataclass(frozen=True)
class Row:
    """What one environment under one objective costs; seconds are those of a whole run of the recipe.

    Attributes:
        environment, objective: by name.
        iterations, timed: of the recipe, and how many were timed.
        seconds: of a seed, by the number of seeds that run at once.
        over_myopic: the ratio to the myopic objective, by the same; of CPU seconds, or of wall seconds on a
            device that is no CPU.
        trace, lower, compile: seconds until all programs of the largest width are there; the last is XLA's.
        bytes: what the program of the iterations takes while it runs, arguments and results included, on all
            devices.
        oracle: of a seed by the eager oracle, or None where there is none.
        work: of one iteration, or None where it is not counted.
        limit: seconds that the work of a seed takes at the machine's peak rates, or None.
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
        """Return the seconds of a seed at the width at which they are fewest."""
        return min(self.seconds.values(), key=_clock)

    @property
    def times_limit(self) -> float | None:
        """Return how many times the limit a seed takes at the best width."""
        return None if self.limit is None else _clock(self.best) / _clock(self.limit)

    @property
    def over_oracle(self) -> float | None:
        """Return how many times less a seed takes at the best width than by the oracle, on the wall."""
        return None if self.oracle is None else self.oracle.wall / min(s.wall for s in self.seconds.values())


def measure(
    environment: str,
    objectives: Sequence[str],
    widths: Sequence[int],
    repeats: int,
    precision: str,
    peak: Peak,
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
    """Return the seconds by which work is compared: CPU seconds where that is where it runs."""
    return times.cpu if jax.default_backend() == "cpu" else times.wall
