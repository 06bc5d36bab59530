"""Statistics over seeds. The unit of observation is always one seed's whole run.

A cell is one setting of a grid. Arrays are [..., n]: cells first, seeds last, the same seeds in every cell.
A diverged seed, whose number is not finite, is left out of its own cell, from both methods where two are
compared, and n counts the rest: every figure is one of the seeds that stayed finite. How many did not is
`share_interval(~np.isfinite(values))`. To count divergence as failure, give such seeds the worst value first.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from fpo_jax.bootstrap import (
    Estimate,
    bootstrap,
    mean,
    mean_error,
    middle_half,
    plain,
    same_seeds,
    superiority,
)
from fpo_jax.hyperparameters import InputError

LOW, FALL = 0.5, 0.7
"""A policy has collapsed when it ends below these shares of all it could gain, and of the most it gained."""

FEW = 16
"""Seeds below which intervals of means fall clearly short of their level: `docs/statistics.md`."""

ROUNDINGS = 1e3
"""Differences of utility below so many units in the last place of the largest are taken for rounding."""


class Comparison(NamedTuple):
    """How method a compares with method b on the same seeds.

    Attributes:
        difference: mean of a − b, with its interval.
        wins: share of seeds with a > b, with its Wilson interval; a tie is no win.
    """

    difference: Estimate
    wins: Estimate


def collapsed(true_utility: np.ndarray, optimum: np.ndarray | float) -> np.ndarray:
    """Say for each seed whether its policy collapsed: it gained too little, or lost too much of it.

    With U₀ the utility that the run starts from, U_T that of its end and U* the optimum:

        U_T − U₀ < LOW · (U* − U₀)   or   U_T − U₀ < FALL · max_t (U_t − U₀)

    Nothing changes when a constant is added to U, or U is scaled by a number > 0 (ours). Differences within
    rounding count as none, so that a policy that starts and ends at the optimum has not collapsed.

    Args:
        true_utility: [..., seed, step], the first entry before any update; of a seed that diverged the answer
            is "no", so leave it out.
        optimum: utility that no policy exceeds, of each seed or of all; of either sign.
    """
    utility, best = np.asarray(true_utility), np.asarray(optimum)
    start, final, peak = utility[..., 0], utility[..., -1], utility.max(axis=-1)
    gained = final - start + _rounding(utility, start, peak, best)
    return (gained < LOW * (best - start)) | (gained < FALL * (peak - start))


def share_gained(true_utility: np.ndarray, optimum: np.ndarray | float) -> np.ndarray:
    """Return the share of what was to be gained, (U_t − U₀) / (U* − U₀); NaN where nothing was.

    Args are those of `collapsed`; the result is [..., seed, step].
    """
    utility = np.asarray(true_utility)
    start = utility[..., :1]
    room = np.broadcast_to(np.asarray(optimum), utility.shape[:-1])[..., None] - start
    there = room > _rounding(utility, start, room + start)
    return np.divide(utility - start, room, out=np.full(utility.shape, np.nan), where=there)


def beyond_optimum(true_utility: np.ndarray, optimum: np.ndarray | float) -> np.ndarray:
    """Return by how much each seed's highest utility passes its optimum, 0 where it does not or by rounding.

    More than 0 says that `Game.optimum` is wrong, or that E[U] is an estimate from samples.

    Args are those of `collapsed`.
    """
    utility = np.asarray(true_utility)
    peak, best = np.broadcast_arrays(np.max(utility, axis=-1), np.asarray(optimum))
    return np.where(peak - best > _rounding(utility, peak, best), peak - best, 0.0)


def passing(true_utility: np.ndarray, optimum: np.ndarray | float) -> str | None:
    """Say in how many seeds the true utility passes its optimum, or None where it does in none.

    Args are those of `collapsed`.
    """
    excess = beyond_optimum(true_utility, optimum)
    if not np.any(excess > 0):
        return None
    return (
        f"true utility passes the optimum in {np.sum(excess > 0)} of {excess.size} runs, by up to "
        f"{excess.max():.2g}: `optimum` is too low, or E[U] is estimated from samples"
    )


def _rounding(utility: np.ndarray, *values: np.ndarray) -> np.ndarray:
    digits = np.finfo(utility.dtype if utility.dtype.kind == "f" else float).eps
    return ROUNDINGS * digits * np.max(np.abs(np.broadcast_arrays(*values)), axis=0)


def share_interval(flags: np.ndarray, level: float = 0.95) -> Estimate:
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
    interval = np.vectorize(_wilson, otypes=[float] * 3)
    share, low, high = interval(np.sum(finite & (flags != 0.0), axis=-1), n, level)
    return Estimate(plain(share), plain(low), plain(high), plain(n))


@cache
def _wilson(count: int, n: int, level: float) -> tuple[float, float, float]:
    """Return count of n as a share, and the ends of its Wilson interval."""
    if n == 0:
        return float("nan"), float("nan"), float("nan")
    from scipy.stats import binomtest  # slow to import, and a run without a summary needs none

    interval = binomtest(int(count), int(n)).proportion_ci(level, method="wilson")
    return count / n, interval.low, interval.high


def mean_interval(values: np.ndarray, level: float = 0.95, resamples: int = 5000) -> Estimate:
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


def paired_difference(a: np.ndarray, b: np.ndarray, level: float = 0.95, resamples: int = 5000) -> Comparison:
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
    return Comparison(mean_interval(difference, level, resamples), share_interval(flags, level))


def interquartile_mean(values: np.ndarray, level: float = 0.95, resamples: int = 5000) -> Estimate:
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
) -> Estimate:
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


def performance_profile(values: np.ndarray, thresholds: np.ndarray, level: float = 0.95) -> Estimate:
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
    return Estimate(share, low, high, n)
