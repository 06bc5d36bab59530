"""Benchmark: how often the 95 % interval of a mean contains the true mean, by distribution and seeds."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fpo_jax.statistics import mean_interval
from fpo_jax.statistics.bootstrap import bootstrap, mean

TRIALS = 4000
SEED = 0


class Distribution(NamedTuple):
    """The distribution of the number of each seed: draws of a given shape, and the true mean."""

    draw: Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
    mean: float


def collapse(rate: float) -> Distribution:
    """Return a mixture like that of collapses: near 10 for a seed that holds, about 2 for one that does
    not.
    """

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        fell = rng.random(shape) < rate
        return np.where(fell, rng.normal(2.0, 0.5, shape), rng.normal(10.0, 0.05, shape))

    return Distribution(draw, 2.0 * rate + 10.0 * (1.0 - rate))


DISTRIBUTIONS = {
    "normal": Distribution(lambda rng, shape: rng.normal(size=shape), 0.0),
    "exponential": Distribution(lambda rng, shape: rng.exponential(size=shape), 1.0),
    "lognormal": Distribution(lambda rng, shape: rng.lognormal(size=shape), float(np.exp(0.5))),
    "half collapse": collapse(0.5),
    "a tenth collapse": collapse(0.1),
}


def coverage(
    distribution: Distribution, seeds: int, trials: int = TRIALS, resamples: int = 5000
) -> tuple[float, float]:
    """Return the share of trials whose interval contains the mean: studentised, and by percentiles."""
    values, true = distribution.draw(np.random.default_rng(SEED), (trials, seeds)), distribution.mean
    found = mean_interval(values, resamples=resamples), bootstrap(mean, values, resamples=resamples)
    studentised, percentiles = (np.mean((f.low <= true) & (true <= f.high)) for f in found)
    return float(studentised), float(percentiles)


def bench_coverage(seeds: Sequence[int]) -> None:
    """Print the coverage of the interval in use, followed by that of percentiles."""
    print(f"coverage of 95 % intervals of a mean, {TRIALS} trials; in brackets by percentiles of means")
    print(f"{'':18s}" + "".join(f"{f'n = {n}':>16s}" for n in seeds))
    for name, distribution in DISTRIBUTIONS.items():
        cells = [coverage(distribution, n) for n in seeds]
        print(f"{name:18s}" + "".join(f"{f'{ours:.3f} ({theirs:.3f})':>16s}" for ours, theirs in cells))
