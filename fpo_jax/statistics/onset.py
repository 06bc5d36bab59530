"""When a collapse begins, and how well a monitor warns of it in time.

A monitor is a number for each entry of a run. It raises an alarm at the first entry at which it reaches a
threshold, so only its highest value so far matters. We judge it on runs that fell and on healthy runs. A run
that collapsed without falling, because it gained too little from the start, is neither.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from fpo_jax.errors import InputError
from fpo_jax.statistics.bootstrap import Interval
from fpo_jax.statistics.collapse import FALL, rounding
from fpo_jax.statistics.intervals import interquartile_mean, share_interval


def onsets(true_utility: np.ndarray, share: float = FALL) -> np.ndarray:
    """Return the entry at which each run's collapse begins: it then stays below a share of its peak.

        min t such that, for all s ≥ t:   U_s − U₀ < share · max_{r ≤ s} (U_r − U₀)

    NaN if there is none; with share `FALL` that is the case unless `collapsed` finds that the run lost too
    much of its gain. Neither the zero nor the unit of U matters (ours).

    Args:
        true_utility: [..., seed, step], the first entry before any update.
        share: of the running peak, in (0, 1].

    Raises:
        InputError: when the share is out of range.
    """
    if not 0.0 < share <= 1.0:
        raise InputError("share", share, "in (0, 1]")
    utility = np.asarray(true_utility)
    gained = utility - utility[..., :1]
    slack = rounding(utility, np.abs(utility).max(axis=-1))[..., None]
    is_below = gained + slack < share * np.maximum.accumulate(gained, axis=-1)
    stays = np.flip(np.logical_and.accumulate(np.flip(is_below, axis=-1), axis=-1), axis=-1)
    return np.where(stays[..., -1], np.argmax(stays, axis=-1), np.nan)


def highest(monitor: np.ndarray) -> np.ndarray:
    """Return the highest value so far at each entry, [..., entry]; an undefined value raises no alarm."""
    return np.maximum.accumulate(np.where(np.isnan(monitor), -np.inf, monitor), axis=-1)


def alarms(monitor: np.ndarray, threshold: float | np.ndarray) -> np.ndarray:
    """Return the first entry, [...], at which a monitor, [..., entry], reaches its threshold; else NaN."""
    reached = np.asarray(monitor) >= np.asarray(threshold)[..., None]
    return np.where(reached.any(axis=-1), np.argmax(reached, axis=-1), np.nan)


def auc(fell: np.ndarray, healthy: np.ndarray, level: float = 0.95) -> Interval:
    """Estimate P(a run that fell scores higher than a healthy one) + ½ P(equal), the area under the ROC.

    The statistic of Mann and Whitney over m · n, with the interval of DeLong, DeLong and Clarke-Pearson
    (1988), clipped to [0, 1]. Its variance is Var_i(E_j) / m + Var_j(E_i) / n, where E_j is the share of
    healthy runs that run i exceeds, and E_i is the converse. The interval has no width if the monitor
    separates all runs.

    Args:
        fell: [m] scores.
        healthy: [n], or [m, n] if a healthy run has a different score for each run that fell, such as the
            score by the iteration at which that run fell.
        level: coverage, in (0, 1).

    Returns:
        n counts all m + n runs. NaN if either group is empty, without width if either has one run.
    """
    fell, healthy = np.asarray(fell, float), np.asarray(healthy, float)
    runs = fell.size + healthy.shape[-1]
    if not fell.size or not healthy.size:
        return Interval(np.nan, np.nan, np.nan, runs)
    own = fell[:, None]
    wins = np.where(own == healthy, 0.5, np.where(own > healthy, 1.0, 0.0))
    area = float(wins.mean())
    variance = sum(
        np.var(wins.mean(axis=1 - axis), ddof=1) / wins.shape[axis] for axis in (0, 1) if wins.shape[axis] > 1
    )
    reach = float(ndtri(0.5 + 0.5 * level) * np.sqrt(variance))
    return Interval(area, max(area - reach, 0.0), min(area + reach, 1.0), runs)


def threshold_at(rate: float, *healthy: np.ndarray) -> float:
    """Return the lowest threshold at which at most this share of healthy runs raise a false alarm.

    Args:
        rate: the share, in [0, 1).
        healthy: [n] scores for each of one or more environments, which all count equally.
    """
    scores = np.concatenate([np.asarray(one, float) for one in healthy])
    weights = np.concatenate([np.full(len(one), 1.0 / len(healthy) / len(one)) for one in healthy])
    order = np.argsort(-scores)
    is_too_many = np.cumsum(weights[order]) > rate + 1e-12  # this is rounding
    return float(np.nextafter(scores[order][np.argmax(is_too_many)], np.inf))


class Warned(NamedTuple):
    """The performance of a monitor at one threshold.

    Attributes:
        false_alarms: share of healthy runs with an alarm, by Wilson.
        in_time: share of runs that fell with an alarm at or before their onset, by Wilson.
        detected: share of them with any alarm.
        lead: time from the alarm to the onset among detected runs, interquartile mean; below 0 if the alarm
            comes late.
        lead_kl: the growth of KL between them, in nats, interquartile mean.
    """

    false_alarms: Interval
    in_time: Interval
    detected: Interval
    lead: Interval
    lead_kl: Interval


def warned(
    monitor: np.ndarray,
    threshold: float,
    began: np.ndarray,
    is_healthy: np.ndarray,
    kl: np.ndarray,
    time: np.ndarray,
) -> Warned:
    """Judge a monitor at one threshold.

    Args:
        monitor: [seed, entry].
        threshold: it raises an alarm at or above this value.
        began: [seed] entries of onset, NaN if a run did not fall.
        is_healthy: [seed] whether a run did not collapse.
        kl: [seed, entry] in nats, or NaN if there is none.
        time: [entry] times of the entries.
    """
    at = alarms(monitor, threshold)
    fell = np.isfinite(began)
    in_time = at[fell] <= began[fell]
    onset, alarm = (np.nan_to_num(of[fell]).astype(int) for of in (began, at))
    late, run = np.isnan(at[fell]), np.flatnonzero(fell)
    lead = np.where(late, np.nan, time[onset] - time[alarm])
    lead_kl = np.where(late, np.nan, kl[run, onset] - kl[run, alarm])
    return Warned(
        share_interval(np.isfinite(at[is_healthy])),
        share_interval(in_time),
        share_interval(np.isfinite(at[fell])),
        interquartile_mean(lead),
        interquartile_mean(lead_kl),
    )
