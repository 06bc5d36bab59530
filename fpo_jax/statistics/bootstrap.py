"""The bootstrap over seeds, for a whole grid at once, and the statistics that use it.

A resample is a weighted sample of the same seeds, as a policy is a weighted sample of responses. A statistic
is a function of weights, and a diverged seed has weight 0.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.special import stdtrit

from fpo_jax.errors import InputError
from fpo_jax.types import Key, Scalar

ELEMENTS = 2**18
"""Numbers, resamples × cells × seeds, that a bootstrap processes at a time; more would not fit in the
cache.
"""

FARTHEST = 2.0
"""The ends of a studentised interval lie at most this many times as far from the estimate as Student's.
Without this limit they would lie far beyond all values if a few seeds differ from many similar ones, as
collapses do.
"""

Numbers: TypeAlias = Any  # a float or int, or an array [...] with one for each cell
Statistic: TypeAlias = Callable[..., Callable[[Array], Scalar]]


class Interval(NamedTuple):
    """An estimate over seeds with its confidence interval, and how many seeds it rests on (ours).

    For one cell these are Python numbers, for a grid arrays [...].

    Attributes:
        mean: the estimate: a mean, a share, or another statistic.
        low: lower end of the interval.
        high: upper end.
        n: number of seeds.
    """

    mean: Numbers
    low: Numbers
    high: Numbers
    n: Numbers


def bootstrap(
    statistic: Statistic,
    *samples: np.ndarray,
    error: Statistic | None = None,
    level: float = 0.95,
    resamples: int = 5000,
    key: Key | None = None,
) -> Interval:
    """Estimate a statistic of every cell, with a bootstrap interval over seeds.

    With a standard error s the interval is studentised: a resample's t* = (value* − value) / s*, and the
    interval reaches from value − q s to value − p s, where p and q are quantiles of t* (Efron 1981), held to
    ± `FARTHEST` times the quantile of Student's t (ours). Without one its ends are percentiles of value*.

    A resample counts how often each seed came up in n draws with replacement. Every cell and every sample
    gets the same draws, so pairs stay pairs. A seed that is not finite in any of a cell's samples is excluded
    there, and so is a resample that consists only of such seeds.

    Args:
        statistic: takes the samples [n] of one cell, once, and returns a function from weights [n], each a
            count, to a scalar. Excluded seeds have value 0 and weight 0. Define it once, as `mean` is: each
            new function object is compiled anew.
        error: the same for the standard error of the value; None for a percentile interval.
        samples: [..., n] each, one number a seed; leading axes broadcast.
        level: coverage, in (0, 1).
        resamples: at least 1. Memory holds resamples × n and resamples × cells, not the product of the three.
        key: for the draws; by default always the same, so that equal values give equal intervals.

    Returns:
        The estimate, always computed in float64; n counts the seeds that are not excluded. If n < 2 the
        interval is NaN. The bootstrap knows only the given values. If all are equal, its interval has no
        width except for rounding, and with a handful of skewed seeds it covers too little
        (`docs/explanation/statistics.md` gives its coverage).

    Raises:
        InputError: when samples do not have the same seeds, or the level or resamples are out of range.
    """
    if isinstance(resamples, bool) or not isinstance(resamples, int) or resamples < 1:
        raise InputError("resamples", resamples, "an integer >= 1")
    arrays = same_seeds(level, **{f"samples[{i}]": sample for i, sample in enumerate(samples)})
    *cells, seeds = arrays[0].shape
    flat = tuple(array.reshape(np.prod(cells, dtype=int), seeds) for array in arrays)
    n = np.all(np.isfinite(flat), axis=0).sum(axis=-1)
    found = np.full((3, len(n)), np.nan)
    if flat[0].size:
        batch = min(resamples, max(1, ELEMENTS // flat[0].size))
        with jax.enable_x64(True):
            key = jax.random.key(0, impl="threefry2x32") if key is None else key
            bounds = FARTHEST * stdtrit(np.maximum(n - 1.0, 1.0), (1.0 + level) / 2.0)
            found[:] = _intervals(statistic, error, batch, _draws(key, resamples, seeds), flat, level, bounds)
    found[1:, n < 2] = np.nan
    value, low, high, n = (plain(field.reshape(cells)) for field in (*found, n))
    return Interval(value, low, high, n)


@partial(jax.jit, static_argnames=("resamples", "seeds"))
def _draws(key: Key, resamples: int, seeds: int) -> Array:
    """Return how often each resample drew each seed, [resamples, seeds]."""
    drawn = jax.random.randint(key, (resamples, seeds), 0, seeds, dtype=jnp.int32)
    return jax.vmap(lambda row: jnp.zeros(seeds, jnp.int32).at[row].add(1))(drawn)


@partial(jax.jit, static_argnames=("statistic", "error", "batch"))
def _intervals(
    statistic: Statistic,
    error: Statistic | None,
    batch: int,
    draws: Array,
    samples: tuple[Array, ...],
    level: Scalar,
    bounds: Array,
) -> Array:
    """Return the statistic of each cell and the ends of its interval, [3, cells]; t* has a bound a cell."""

    def of_cell(bound: Array, *values: Array) -> Array:
        finite = jnp.all(jnp.isfinite(jnp.stack(values)), axis=0)
        kept = [jnp.where(finite, sample, 0.0) for sample in values]
        value, once = statistic(*kept), jnp.where(finite, 1.0, 0.0)
        centre, ends = value(once), jnp.stack([(1.0 - level) / 2.0, (1.0 + level) / 2.0])
        if error is None:
            found = _each(value, draws, finite, batch)
            return jnp.stack([centre, *jnp.nanquantile(found, ends)])
        spread = error(*kept)
        own = spread(once)

        def studentised(weights: Array) -> Scalar:
            scale, deviation = spread(weights), value(weights) - centre
            t = deviation / jnp.where(scale > 0, scale, 1.0)
            t = jnp.where(scale > 0, t, jnp.sign(deviation) * bound)
            return jnp.clip(t, -bound, bound)

        low, high = jnp.nanquantile(_each(studentised, draws, finite, batch), ends)
        return jnp.stack([centre, centre - high * own, centre - low * own])

    return jax.vmap(of_cell, out_axes=1)(bounds, *samples)


def _each(value: Callable[[Array], Scalar], draws: Array, finite: Array, batch: int) -> Array:
    """Return the value of every resample from the counts of its seeds, without the excluded ones."""
    return jax.lax.map(
        lambda drawn: value(jnp.where(finite, drawn.astype(float), 0.0)), draws, batch_size=batch
    )


def mean(values: Array) -> Callable[[Array], Scalar]:
    """Return the mean of values [n], Σ w x / Σ w, as a function of weights [n]."""
    return lambda weights: jnp.sum(weights * values) / jnp.sum(weights)


def mean_error(values: Array) -> Callable[[Array], Scalar]:
    """Return the standard error of the mean, √(Σ w (x − x̄)²) / Σ w, as a function of weights [n]."""

    def error(weights: Array) -> Scalar:
        deviations = values - mean(values)(weights)
        return jnp.sqrt(jnp.sum(weights * deviations**2)) / jnp.sum(weights)

    return error


def ratio(part: Array, whole: Array) -> Callable[[Array], Scalar]:
    """Return Σ w a / Σ w b of counts a and b [n], as a function of weights [n]; NaN where Σ w b is 0."""
    return lambda weights: jnp.sum(weights * part) / jnp.sum(weights * whole)


def middle_half(values: Array) -> Callable[[Array], Scalar]:
    """Return the mean of values [n] without the ⌊N/4⌋ lowest and highest of N = Σ w, as a function of w."""
    order = jnp.argsort(values)

    def value(weights: Array) -> Scalar:
        ranked = weights[order]
        upto = jnp.cumsum(ranked)  # the i-th lowest value fills the ranks from upto − w to upto
        total = upto[-1]
        cut = jnp.floor(total / 4.0)
        kept = jnp.clip(upto, cut, total - cut) - jnp.clip(upto - ranked, cut, total - cut)
        return jnp.sum(kept * values[order]) / (total - 2.0 * cut)

    return value


def superiority(a: Array, b: Array) -> Callable[[Array], Scalar]:
    """Return Σ_ij w_i w_j (1[a_i > b_j] + ½ 1[a_i = b_j]) / (Σ w)² as a function of weights [n]."""
    order = jnp.argsort(b)
    below, upto = (jnp.searchsorted(b[order], a, side=side) for side in ("left", "right"))

    def value(weights: Array) -> Scalar:
        mass = jnp.concatenate([jnp.zeros(1), jnp.cumsum(weights[order])])  # of the k lowest of b
        return jnp.sum(weights * (mass[below] + mass[upto])) / (2.0 * mass[-1] ** 2)

    return value


def same_seeds(level: float, **samples: np.ndarray) -> list[np.ndarray]:
    """Return samples as numbers of one shape [..., n], after checking that they can have the same seeds.

    Raises:
        InputError: when they differ in n, their leading axes do not broadcast, or level is not in (0, 1).
    """
    if not 0.0 < level < 1.0:
        raise InputError("level", level, "in (0, 1)")
    arrays = {name: np.asarray(sample, dtype=float) for name, sample in samples.items()}
    lengths = {array.shape[-1:] for array in arrays.values()}
    try:
        if len(lengths) != 1 or lengths == {()}:
            raise ValueError
        return list(np.broadcast_arrays(*arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        allowed = "[..., n] with the same seeds, and leading axes that broadcast"
        raise InputError("shapes of samples", shapes or "none", allowed) from None


def plain(field: np.ndarray) -> Numbers:
    """Return an array with axes unchanged, and one without axes as a Python number."""
    return field if np.ndim(field) else np.asarray(field).item()
