"""The bootstrap over seeds, against scipy and by hand."""

import jax
import numpy as np
import pytest
from scipy import stats

from fpo_jax.statistics import bootstrap as module
from fpo_jax.statistics import interquartile_mean, paired_difference, probability_of_improvement
from fpo_jax.statistics.bootstrap import bootstrap, mean, middle_half, ratio, superiority
from tests.helpers import METHOD_A, METHOD_B, compilations

NAN = np.nan
SIZE = 7
FEW = 21  # resamples, where their number does not matter


def test_the_middle_half_of_weighted_seeds_by_hand():
    # 1, 1, 2, 5, 5, 9: ⌊6/4⌋ = 1 is cut at each end, (1 + 2 + 5 + 5)/4; the 7 has weight 0
    values, weights = np.array([5.0, 9.0, 1.0, 7.0, 2.0]), np.array([2.0, 1.0, 2.0, 0.0, 1.0])
    assert jax.jit(lambda x, w: middle_half(x)(w))(values, weights) == 13 / 4


def test_a_ratio_of_two_seeds_by_hand():
    # Of {1 of 4, 0 of 0} resamples are ¼ twice in four, 1/4 with one of each, and 0/0, which is left out.
    # Of {1 of 4, 2 of 2} they are ¼, 3/6 and 1 with probabilities ¼, ½, ¼, not the means ¼, ⅝ and 1.
    assert bootstrap(ratio, np.array([1.0, 0.0]), np.array([4.0, 0.0])) == (0.25, 0.25, 0.25, 2)
    part, whole = np.array([1.0, 2.0]), np.array([4.0, 2.0])
    assert bootstrap(ratio, part, whole) == (0.5, 0.25, 1.0, 2)
    assert bootstrap(ratio, part, whole, level=0.4) == (0.5, 0.5, 0.5, 2)


def test_improvement_of_resampled_seeds_is_that_of_the_repeated_values():
    counts = np.random.default_rng(5).multinomial(14, np.full(14, 1 / 14))
    repeated = stats.mannwhitneyu(np.repeat(METHOD_A, counts), np.repeat(METHOD_B, counts)).statistic / 14**2
    found = jax.jit(lambda a, b, weights: superiority(a, b)(weights))(
        METHOD_A, METHOD_B, counts.astype(float)
    )
    assert float(found) == pytest.approx(repeated)


def improvement(a, b, axis):
    wins = np.sign(a[..., :, None] - b[..., None, :])
    return 0.5 + 0.5 * wins.mean(axis=(-2, -1))


@pytest.mark.parametrize("level", [0.95, 0.5])
def test_intervals_are_those_of_scipys_bootstrap(level):
    # Both draw from the same distribution of resamples, ours R = 5000 times and scipy's S = 20000. Let L be
    # our end for the quantile q: the share of scipy's resamples below L differs from q with a standard
    # deviation of √(q (1 − q) (1/R + 1/S)), whatever the distribution; 5 of them miss once in 10⁶ cases. For
    # those equal to L the share lies between "below" and "not above"; 1/R is for the interpolation.
    a, b = np.array([METHOD_A, METHOD_B]) + np.random.default_rng(0).normal(0.0, 0.05, (2, 14))
    bound = lambda q: 5.0 * np.sqrt(q * (1 - q) * (1 / 5000 + 1 / 20000)) + 1 / 5000  # noqa: E731
    cases = [
        (interquartile_mean(a, level), (a,), lambda x, axis: stats.trim_mean(x, 0.25, axis=axis)),
        (bootstrap(mean, a - b, level=level), (a - b,), np.mean),
        (probability_of_improvement(a, b, level), (a, b), improvement),
    ]
    for found, samples, statistic in cases:
        theirs = stats.bootstrap(
            samples,
            statistic,
            paired=len(samples) == 2,
            vectorized=True,
            n_resamples=20000,
            method="percentile",
            rng=np.random.default_rng(1),
        ).bootstrap_distribution
        for end, q in ((found.low, (1 - level) / 2), (found.high, (1 + level) / 2)):
            assert np.mean(theirs < end - 1e-12) <= q + bound(q)
            assert np.mean(theirs <= end + 1e-12) >= q - bound(q)


def test_bootstrap_of_two_seeds_by_hand():
    # The mean of a resample of {0, 1} is 0, ½, 1 with probabilities ¼, ½, ¼: quantiles are 0 and 1 at 95 %,
    # and ½ at 40 %, 0.3 and 0.7 being 8 standard deviations √(3/16 / 5000) from ¼ and ¾.
    values = np.array([0.0, 1.0])
    assert bootstrap(mean, values) == (0.5, 0.0, 1.0, 2)
    assert bootstrap(mean, values, level=0.4) == (0.5, 0.5, 0.5, 2)


@pytest.mark.parametrize("estimate", [interquartile_mean, paired_difference, probability_of_improvement])
def test_a_cell_of_a_grid_is_what_it_is_alone(estimate, monkeypatch):
    # on [2, 3] cells in batches of 100 // (6 · 7) = 2 resamples, one left over; b is common to all cells
    monkeypatch.setattr(module, "ELEMENTS", 100)
    grid = np.random.default_rng(0).normal(6.0, 3.0, (2, 3, SIZE))
    grid[1, 2, :3] = NAN
    others = () if estimate is interquartile_mean else (np.random.default_rng(1).normal(6.0, 3.0, SIZE),)
    found = jax.tree.leaves(estimate(grid, *others, resamples=FEW))
    monkeypatch.undo()
    for i, j in np.ndindex(2, 3):
        alone = jax.tree.leaves(estimate(grid[i, j], *others, resamples=FEW))
        np.testing.assert_allclose([field[i, j] for field in found], alone, rtol=1e-12, atol=1e-12)


def test_diverged_seeds_are_left_out_of_their_cell():
    values = np.random.default_rng(0).normal(size=(4, 8))
    values[1, [0, 5]] = NAN, np.inf
    values[2, 1:] = NAN
    values[3] = NAN
    found = interquartile_mean(values)
    np.testing.assert_array_equal(found.n, [8, 6, 1, 0])
    for cell in range(3):
        kept = values[cell][np.isfinite(values[cell])]
        assert found.mean[cell] == pytest.approx(stats.trim_mean(kept, 0.25), rel=1e-14)
    np.testing.assert_array_equal(np.isnan(found.mean), [False, False, False, True])
    np.testing.assert_array_equal(np.isnan(found.low), [False, False, True, True])
    np.testing.assert_array_equal(np.isnan(found.high), [False, False, True, True])
    # of two methods, the seed is left out of both: a's 1 goes with b's NaN
    a, b = np.full((2, SIZE), NAN)
    a[:3], b[1:3] = [1.0, 2.0, 4.0], [3.0, 3.0]
    assert probability_of_improvement(a, b, resamples=FEW)[::3] == (0.5, 2)
    assert interquartile_mean(np.zeros((2, 0))).n.tolist() == [0, 0]
    assert interquartile_mean(np.zeros((0, 2))).mean.shape == (0,)


def test_the_same_values_give_the_same_interval_in_either_precision_and_compile_nothing_new():
    first = interquartile_mean(METHOD_A)
    with compilations() as more:
        with jax.enable_x64(False):
            assert interquartile_mean(METHOD_A) == first
        assert interquartile_mean(list(METHOD_A)) == first
        assert interquartile_mean(METHOD_A + 1.0, level=0.5) != first
    assert more == []
    other = bootstrap(middle_half, METHOD_A, key=jax.random.key(1))
    assert other.mean == first.mean
    assert other.low != first.low or other.high != first.high
