"""Intervals of means, shares, differences and profiles over seeds."""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from fpo_jax.errors import InputError
from fpo_jax.statistics.bootstrap import (
    Interval,
    bootstrap,
    mean,
    mean_error,
    middle_half,
    plain,
    same_seeds,
    superiority,
)

FEW = 16
"""With fewer seeds, intervals of means cover clearly less than their level
(docs/explanation/statistics.md).
"""


class PairedDifference(NamedTuple):
    """A comparison of methods a and b on the same seeds.

    Attributes:
        difference: mean of a − b, with its interval.
        wins: share of seeds with a > b, with its Wilson interval; a tie is not a win.
    """

    difference: Interval
    wins: Interval


def share_interval(flags: np.ndarray, level: float = 0.95) -> Interval:
    """Estimate the share of seeds with a property, with its Wilson interval; NaN without seeds.

    Args:
        flags: [..., n] booleans, or numbers: 0 if a seed lacks the property, not finite if it is to be
            excluded.
        level: coverage, in (0, 1).

    Raises:
        InputError: when there is no axis of seeds, or the level is not in (0, 1).
    """
    (flags,) = same_seeds(level, flags=flags)
    finite = np.isfinite(flags)
    n = finite.sum(axis=-1)
    count = np.sum(finite & (flags != 0.0), axis=-1)
    # the formula of `scipy.stats.binomtest`; scipy.stats is slow to import, and every run uses this
    z = ndtri(0.5 + 0.5 * level)
    with np.errstate(invalid="ignore"):
        share = count / n
    twice = 2 * (n + z**2)
    centre = (2 * n * share + z**2) / twice
    reach = z / twice * np.sqrt(4 * n * share * (1 - share) + z**2)
    low, high = np.where(count == 0, share, centre - reach), np.where(count == n, share, centre + reach)
    return Interval(plain(share), plain(low), plain(high), plain(n))


def mean_interval(values: np.ndarray, level: float = 0.95, resamples: int = 5000) -> Interval:
    """Estimate the mean of one number per seed, with a studentised bootstrap interval.

    Outcomes are skewed, with clusters at "held" and "collapsed". The studentised interval extends toward the
    distant values; percentiles of means do not, and cover less. Equal values always give equal intervals.

    Args:
        values: [..., n] one number a seed.
        level: coverage, in (0, 1); with fewer than `FEW` seeds skewed values are covered clearly less.
        resamples: bootstrap resamples, >= 1.

    Raises:
        InputError: as `bootstrap`.
    """
    return bootstrap(mean, values, error=mean_error, level=level, resamples=resamples)


def paired_difference(
    a: np.ndarray, b: np.ndarray, level: float = 0.95, resamples: int = 5000
) -> PairedDifference:
    """Estimate how far method a exceeds method b on the same seeds, and in what share of them.

    Args:
        a: [..., n] one number a seed.
        b: [..., n] for the same seeds in the same order; leading axes broadcast.
        level: coverage, in (0, 1).
        resamples: bootstrap resamples, >= 1.

    Returns:
        Both estimates use the seeds with finite a and b; intervals as in `mean_interval` and
        `share_interval`.

    Raises:
        InputError: as `bootstrap`.
    """
    a, b = same_seeds(level, a=a, b=b)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = a - b
    flags = np.where(np.isfinite(difference), difference > 0.0, np.nan)
    return PairedDifference(mean_interval(difference, level, resamples), share_interval(flags, level))


def interquartile_mean(values: np.ndarray, level: float = 0.95, resamples: int = 5000) -> Interval:
    """Estimate the mean of n values without the ⌊n/4⌋ lowest and the ⌊n/4⌋ highest: the middle half.

    No value is counted in part, and more than half are kept if 4 does not divide n, as in scipy's `trim_mean`
    at 0.25 and rliable's `aggregate_iqm`. It does not show a collapse of fewer than a quarter of the seeds,
    so report their share as well.

    Args:
        values: [..., n] one number a seed.
        level: coverage of the percentile-bootstrap interval, in (0, 1).
        resamples: bootstrap resamples, >= 1.

    Raises:
        InputError: as `bootstrap`.
    """
    return bootstrap(middle_half, values, level=level, resamples=resamples)


def probability_of_improvement(
    a: np.ndarray, b: np.ndarray, level: float = 0.95, resamples: int = 5000
) -> Interval:
    """Estimate P(A > B) + ½ P(A = B) for independent runs of methods a and b.

    Σ_ij (1[a_i > b_j] + ½ 1[a_i = b_j]) / n² is the statistic of Mann and Whitney over n², as in rliable. The
    interval resamples seeds of a and b together, since both have the same seeds; rliable resamples them
    separately.

    This measure ignores which values share a seed. Suppose seeds differ by 10 and a beats b by 0.1 on each:
    it is near ½, while `paired_difference` finds 0.1 and a win in every seed. Use `paired_difference` to ask
    whether a method helps on the same instance, and this function to compare two unrelated runs.

    Arguments and errors as for `paired_difference`.
    """
    a, b = same_seeds(level, a=a, b=b)
    return bootstrap(superiority, a, b, level=level, resamples=resamples)


def performance_profile(values: np.ndarray, thresholds: np.ndarray, level: float = 0.95) -> Interval:
    """Estimate the share of seeds whose value exceeds each threshold, with its Wilson interval.

    Each point is a share of independent seeds. A bootstrap interval of a share has no width at 0 and 1, where
    the profile of a method that always holds mostly lies, so this uses Wilson's interval.

    Args:
        values: [..., n] one number a seed.
        thresholds: [m] finite, m >= 1; a value equal to a threshold does not exceed it.
        level: coverage of each point, in (0, 1); the whole curve has less.

    Returns:
        Arrays [..., m].

    Raises:
        InputError: when thresholds are not a vector of finite numbers; otherwise as `share_interval`.
    """
    thresholds = np.asarray(thresholds, dtype=float)
    if thresholds.ndim != 1 or not thresholds.size or not np.all(np.isfinite(thresholds)):
        raise InputError("thresholds", thresholds, "a vector of finite numbers, not empty")
    (values,) = same_seeds(level, values=values)
    finite = np.isfinite(values)
    points = [share_interval(np.where(finite, values > t, np.nan), level) for t in thresholds]
    share, low, high, n = (np.stack(field, axis=-1) for field in zip(*points, strict=True))
    return Interval(share, low, high, n)
