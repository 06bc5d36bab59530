"""Statistics over seeds. The unit of observation is always one seed's whole run.

A cell is one setting of a grid. Arrays are [..., n]: cells first, seeds last, the same seeds in every cell.
A diverged seed, whose number is not finite, is left out of its own cell, of both samples where two are
compared, and n counts the rest: an estimate is one of the seeds that stayed finite. The share that did not is
`share_interval(~np.isfinite(values))`. To count divergence as failure, give such seeds the worst value first.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy import stats

from fpo_jax.hyperparameters import InputError
from fpo_jax.types import Key, Scalar

LOW, FALL = 0.5, 0.7
"""A policy has collapsed when it ends below these shares of the optimum and of its own peak."""
ELEMENTS = 2**20
"""Numbers (resamples × cells × seeds) that a bootstrap holds at a time, in each of its few buffers."""

Statistic: TypeAlias = Callable[..., Callable[[Array], Scalar]]
Numbers: TypeAlias = Any  # one number, or an array [...] of one a cell


class Estimate(NamedTuple):
    """An estimate over seeds, or one a cell, with its confidence interval and the seeds it rests on.

    Attributes:
        mean: the estimate: a mean, a share, or what else the function that returns it says.
        low: lower end of the interval.
        high: upper end.
        n: seeds.
    """

    mean: Numbers
    low: Numbers
    high: Numbers
    n: Numbers


class Comparison(NamedTuple):
    """Two methods on the same seeds.

    Attributes:
        difference: mean of a − b, with its percentile-bootstrap interval.
        wins: share of seeds with a > b, with its Wilson interval; a tie is no win.
    """

    difference: Estimate
    wins: Estimate


def collapsed(true_utility: np.ndarray, optimum: np.ndarray | float) -> np.ndarray:
    """Say for each seed whether its policy collapsed: it ends below `LOW` · optimum or `FALL` · its peak.

    Args:
        true_utility: [..., seed, step]; a NaN compares as false, so diverged seeds are to be left out.
        optimum: utility that no policy exceeds, of each seed or of all; > 0.
    """
    final, peak = true_utility[..., -1], true_utility.max(axis=-1)
    return (final < LOW * np.asarray(optimum)) | (final < FALL * peak)


def share_interval(flags: np.ndarray, level: float = 0.95) -> Estimate:
    """Estimate the share of seeds for which something holds, with its Wilson interval; NaN without seeds.

    Args:
        flags: [..., n] booleans, or numbers whose truth counts, of which those not finite are left out.
        level: coverage, in (0, 1).

    Returns:
        Floats, or arrays [...] where there are cells.

    Raises:
        InputError: when there is no axis of seeds, or the level is outside (0, 1).
    """
    (values,) = _samples(level, flags=flags)
    finite = np.isfinite(values)
    return _shares(np.sum(finite & (values != 0.0), axis=-1), finite.sum(axis=-1), level)


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


def bootstrap(
    statistic: Statistic,
    *samples: np.ndarray,
    level: float = 0.95,
    resamples: int = 5000,
    key: Key | None = None,
) -> Estimate:
    """Estimate a statistic of every cell, with a percentile-bootstrap interval over seeds.

    A resample is a weighted sample of the same seeds: how often each was drawn, in n draws with replacement.
    Each resample draws the same seeds for every cell and every sample, so that what is paired stays paired.
    The quantiles are those of its values, without resamples in which no seed of a cell was finite.

    >>> def mean(values):
    ...     return lambda weights: (weights * values).sum() / weights.sum()
    >>> bootstrap(mean, np.array([[1.0, 2.0, 3.0], [1.0, np.nan, 3.0]])).mean
    array([2., 2.])

    Args:
        statistic: of the samples [n] of one cell, once: returns a function from weights [n] to a scalar. A
            weight counts a seed that often, 0 not at all; values not finite come as 0 with weight 0. Give the
            same function object in each call: a new one is compiled anew.
        samples: [..., n] each, one number a seed; leading axes broadcast.
        level: coverage, in (0, 1).
        resamples: bootstrap resamples, >= 1.
        key: of the draws; by default always the same, so that the same values give the same interval.

    Returns:
        Floats, or arrays [...] where there are cells. Where n < 2 the interval is NaN; with a handful of
        seeds it is too narrow, as of `mean_interval`. Computed in float64, whatever JAX does by default.

    Raises:
        InputError: when samples differ in their seeds, or the level or resamples are out of range.
    """
    if isinstance(resamples, bool) or not isinstance(resamples, int) or resamples < 1:
        raise InputError("resamples", resamples, "an integer >= 1")
    arrays = _samples(level, **{f"samples[{i}]": sample for i, sample in enumerate(samples)})
    *cells, seeds = arrays[0].shape
    flat = tuple(array.reshape(-1, seeds) for array in arrays)
    n = np.all(np.isfinite(flat), axis=0).sum(axis=-1)
    if flat[0].size == 0:
        estimate, low, high = np.full((3, len(n)), np.nan)
    else:
        batch = min(resamples, max(1, ELEMENTS // flat[0].size))
        with jax.enable_x64(True):
            key = jax.random.key(0, impl="threefry2x32") if key is None else key
            found = _percentiles(statistic, resamples, batch, flat, level, key)
        estimate, low, high = np.where([[True], [False], [False]] | (n > 1), found, np.nan)
    return Estimate(*(_plain(field.reshape(cells)) for field in (estimate, low, high, n)))


@partial(jax.jit, static_argnames=("statistic", "resamples", "batch"))
def _percentiles(
    statistic: Statistic, resamples: int, batch: int, samples: tuple[Array, ...], level: Scalar, key: Key
) -> Array:
    """Return the statistic of each cell and the two quantiles of its resamples, [3, cells]."""

    def of_cell(*values: Array) -> Array:
        seeds = len(values[0])
        finite = jnp.all(jnp.isfinite(jnp.stack(values)), axis=0)
        value = statistic(*(jnp.where(finite, sample, 0.0) for sample in values))

        def resampled(draw: Key) -> Scalar:
            drawn = jax.random.randint(draw, (seeds,), 0, seeds, dtype=jnp.int32)
            counts = jnp.zeros(seeds).at[drawn].add(1.0)  # of no cell: drawn once for all of them under vmap
            return value(jnp.where(finite, counts, 0.0))

        found = jax.lax.map(resampled, jax.random.split(key, resamples), batch_size=batch)
        ends = jnp.nanquantile(found, jnp.stack([(1.0 - level) / 2.0, (1.0 + level) / 2.0]))
        return jnp.concatenate([value(finite.astype(float))[None], ends])

    return jax.vmap(of_cell, out_axes=1)(*samples)


def mean(values: Array) -> Callable[[Array], Scalar]:
    """Statistic: the mean Σ w x / Σ w."""
    return lambda weights: jnp.sum(weights * values) / jnp.sum(weights)


def middle_half(values: Array) -> Callable[[Array], Scalar]:
    """Statistic: the mean without the ⌊N/4⌋ lowest and the ⌊N/4⌋ highest of N = Σ w values."""
    order = jnp.argsort(values)
    ordered = values[order]

    def value(weights: Array) -> Scalar:
        ranked = weights[order]
        upto = jnp.cumsum(ranked)
        cut = jnp.floor(upto[-1] / 4.0)
        kept = jnp.clip(upto, cut, upto[-1] - cut) - jnp.clip(upto - ranked, cut, upto[-1] - cut)
        return jnp.sum(kept * ordered) / (upto[-1] - 2.0 * cut)

    return value


def superiority(a: Array, b: Array) -> Callable[[Array], Scalar]:
    """Statistic: P(A > B) + ½ P(A = B), with A and B drawn apart from the weighted seeds."""
    order = jnp.argsort(b)
    below, upto = (jnp.searchsorted(b[order], a, side=side) for side in ("left", "right"))

    def value(weights: Array) -> Scalar:
        mass = jnp.concatenate([jnp.zeros(1), jnp.cumsum(weights[order])])
        return jnp.sum(weights * (mass[below] + mass[upto])) / (2.0 * mass[-1] ** 2)

    return value


def interquartile_mean(v, level=0.95):
    return bootstrap(middle_half, v, level=level)


def paired_difference(a, b, level=0.95):
    return Comparison(bootstrap(mean, a - b), share_interval(np.where(np.isfinite(a - b), a > b, np.nan)))


def _samples(level, **kw):
    return [np.asarray(v, dtype=float) for v in kw.values()]


def _plain(x):
    return x if np.ndim(x) else x.item()


def _shares(k, n, level):
    r = stats.norm.ppf(0.5 + level / 2)
    with np.errstate(all="ignore"):
        p = k / n
        c = (p + r * r / 2 / n) / (1 + r * r / n)
        h = r / (1 + r * r / n) * np.sqrt(p * (1 - p) / n + r * r / 4 / n / n)
    return Estimate(_plain(p), _plain(c - h), _plain(c + h), _plain(n))
