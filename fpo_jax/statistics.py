"""Statistics over seeds, by scipy. The unit of observation is always one seed's whole run."""

from typing import NamedTuple

import numpy as np
from scipy import stats

LOW, FALL = 0.5, 0.7
"""A policy has collapsed when it ends below these shares of the optimum and of its own peak."""


class Estimate(NamedTuple):
    """A mean over seeds with its confidence interval, and how many seeds it rests on."""

    mean: float
    low: float
    high: float
    n: int


def collapsed(true_utility: np.ndarray, optimum: np.ndarray | float) -> np.ndarray:
    """Say for each seed whether its policy collapsed: it ends below `LOW` · optimum or `FALL` · its peak.

    Args:
        true_utility: [seed, step].
        optimum: utility that no policy exceeds, of each seed or of all; > 0.
    """
    final, peak = true_utility[:, -1], true_utility.max(axis=1)
    return (final < LOW * np.asarray(optimum)) | (final < FALL * peak)


def share_interval(flags: np.ndarray, level: float = 0.95) -> Estimate:
    """Estimate the share of seeds for which something holds, with its Wilson interval; NaN without seeds."""
    flags = np.asarray(flags, dtype=bool)
    if flags.size == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    interval = stats.binomtest(int(flags.sum()), flags.size).proportion_ci(level, method="wilson")
    return Estimate(float(flags.mean()), float(interval.low), float(interval.high), flags.size)


def mean_interval(values: np.ndarray, level: float = 0.95, resamples: int = 5000) -> Estimate:
    """Estimate the mean of one number per seed, with a percentile-bootstrap interval.

    The bootstrap is used because collapse is bimodal: outcomes pile up at "held" and "collapsed". It
    resamples seeds with a fixed generator, so the same values always give the same interval.

    Args:
        values: [n] one number a seed.
        level: coverage, in (0, 1).
        resamples: bootstrap resamples.

    Returns:
        The estimate. The bootstrap knows only the values it is given: if all are equal its interval has no
        width, and with a handful of seeds it is too narrow. For n = 1 it is NaN.
    """
    values = np.asarray(values, dtype=float)
    mean = float(values.mean()) if values.size else float("nan")
    if values.size < 2:
        return Estimate(mean, float("nan"), float("nan"), values.size)
    if np.ptp(values) == 0.0:
        return Estimate(mean, mean, mean, values.size)
    interval = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(mean, float(interval.low), float(interval.high), values.size)
