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
"""Seeds below which intervals of means fall clearly short of their level (docs/explanation/statistics.md)."""


class PairedDifference(NamedTuple):
    """How method a compares with method b on the same seeds.

    Attributes:
        difference: mean of a − b, with its interval.
        wins: share of seeds with a > b, with its Wilson interval; a tie is no win.
    """

    difference: Interval
    wins: Interval


def share_interval(flags: np.ndarray, level: float = 0.95) -> Interval:
    """Estimate the share of seeds for which something holds, with its Wilson interval; NaN without seeds.

    Args:
        flags: [..., n] booleans, or numbers that are 0 where it does not hold and not finite where the seed
            is to be left out.
        level: coverage, in (0, 1).

    Raises:
        InputError: when there is no axis of seeds, or the level is not in (0, 1).
    """
    (flags,) = same_seeds(level, flags=flags)
    finite = np.isfinite(flags)
    n = finite.sum(axis=-1)
    count = np.sum(finite & (flags != 0.0), axis=-1)
    # the formula of `scipy.stats.binomtest`: scipy.stats is slow to import, and every run sums up with this
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

    Outcomes are skewed, and pile up at "held" and "collapsed". The studentised interval leans to the side on
    which values lie far off; the percentiles of means do not, and cover less. The same values always give the
    same interval.

    Args:
        values: [..., n] one number a seed.
        level: coverage, in (0, 1); below `FEW` seeds it covers clearly less where values are skewed.
        resamples: bootstrap resamples, >= 1.

    Raises:
        InputError: as `bootstrap`.
    """
    return bootstrap(mean, values, error=mean_error, level=level, resamples=resamples)


def paired_difference(
    a: np.ndarray, b: np.ndarray, level: float = 0.95, resamples: int = 5000
) -> PairedDifference:
    """Estimate by how much method a exceeds method b on the same seeds, and in what share of them it does.

    Args:
        a: [..., n] one number a seed.
        b: [..., n] of the same seeds in the same order; leading axes broadcast.
        level: coverage, in (0, 1).
        resamples: bootstrap resamples, >= 1.

    Returns:
        Both estimates rest on the seeds in which a and b are finite; intervals as of `mean_interval` and
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
    """Estimate the mean of the middle half: of n values, without the ⌊n/4⌋ lowest and the ⌊n/4⌋ highest.

    So no value is counted in part, and more than half are kept where 4 does not divide n: `trim_mean` of
    scipy at 0.25, `aggregate_iqm` of rliable. It does not see a collapse of fewer than a quarter of the
    seeds, so report their share beside it.

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
    """Estimate P(A > B) + ½ P(A = B), for a run of method a and a run of method b with seeds of their own.

    Σ_ij (1[a_i > b_j] + ½ 1[a_i = b_j]) / n², the statistic of Mann and Whitney over n², as in rliable. The
    interval resamples seeds of a and b together, since they share them; rliable resamples them apart.

    It forgets which values share a seed. Where seeds differ more than methods do, say by 10 where a beats b
    by 0.1 on each, it is near ½ while `paired_difference` finds 0.1 and a win in every seed. Whether a
    method helps on the same instance is answered there, how two unrelated runs compare is answered here.

    Args and errors are those of `paired_difference`.
    """
    a, b = same_seeds(level, a=a, b=b)
    return bootstrap(superiority, a, b, level=level, resamples=resamples)


def performance_profile(values: np.ndarray, thresholds: np.ndarray, level: float = 0.95) -> Interval:
    """Estimate the share of seeds whose value exceeds each threshold, with its Wilson interval.

    Wilson rather than bootstrap: each point is a share of independent seeds, and a bootstrap interval of a
    share has no width at 0 and at 1, where the profile of a method that always holds spends its length.

    Args:
        values: [..., n] one number a seed.
        thresholds: [m] finite, m >= 1; a value equal to a threshold does not exceed it.
        level: coverage of each point, in (0, 1); that of the whole curve is less.

    Returns:
        Arrays [..., m].

    Raises:
        InputError: when thresholds are no vector of finite numbers; otherwise as `share_interval`.
    """
    thresholds = np.asarray(thresholds, dtype=float)
    if thresholds.ndim != 1 or not thresholds.size or not np.all(np.isfinite(thresholds)):
        raise InputError("thresholds", thresholds, "a vector of finite numbers, not empty")
    (values,) = same_seeds(level, values=values)
    finite = np.isfinite(values)
    points = [share_interval(np.where(finite, values > t, np.nan), level) for t in thresholds]
    share, low, high, n = (np.stack(field, axis=-1) for field in zip(*points, strict=True))
    return Interval(share, low, high, n)
