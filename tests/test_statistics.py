"""Statistics over seeds, against scipy, against counts by hand, and against rliable where it is installed."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fpo_jax import InputError
from fpo_jax import bootstrap as module
from fpo_jax.statistics import (
    bootstrap,
    collapsed,
    interquartile_mean,
    mean,
    mean_interval,
    middle_half,
    paired_difference,
    performance_profile,
    probability_of_improvement,
    share_interval,
    superiority,
)

NAN = np.nan
SIZE = 7
FEW = 21  # resamples, where their number does not matter
# final utilities of 14 seeds under two methods: they hold or collapse, with ties
A = np.array([8.9, 9.5, 2.0, 8.9, 9.4, 9.3, 9.0, 9.3, 2.0, 9.5, 8.5, 8.2, 9.1, 9.4])
B = np.array([2.0, 2.0, 9.0, 9.0, 9.7, 9.4, 9.1, 2.0, 8.9, 8.5, 2.0, 9.3, 8.9, 2.0])
THRESHOLDS = np.array([0.0, 2.0, 8.9, 9.0, 12.0])
numbers = st.lists(st.integers(-50, 50).map(lambda i: i / 8), min_size=SIZE, max_size=SIZE).map(np.array)


def test_collapse_is_an_end_below_half_of_the_optimum_or_70_percent_of_the_peak():
    # 5.5 < 0.7 · 8; 5.5 ≥ 0.7 · 6 and ≥ 5; 4.9 < 5; 6.4 ≥ 0.7 · 9 = 6.3
    utility = np.array([[0.0, 8.0, 5.5], [0.0, 6.0, 5.5], [0.0, 4.0, 4.9], [9.0, 9.0, 6.4]])
    np.testing.assert_array_equal(collapsed(utility, 10.0), [True, False, True, False])
    # of two cells of two seeds, whose optima are 10 and 20: 5.5 < 10 too
    np.testing.assert_array_equal(
        collapsed(utility.reshape(2, 2, 3), np.array([10.0, 20.0])), [[True, True], [True, True]]
    )


def test_share_has_the_interval_of_wilson():
    # Wilson, for k of n with z = 1.96: (k + z²/2 ± z √(k (n − k)/n + z²/4)) / (n + z²)
    k, n, z = 1, 4, 1.959963984540054
    centre, half = k + z**2 / 2, z * np.sqrt(k * (n - k) / n + z**2 / 4)
    share = share_interval(np.array([True, False, False, False]))
    np.testing.assert_allclose(share[:3], (0.25, (centre - half) / (n + z**2), (centre + half) / (n + z**2)))
    assert share.n == 4
    assert [type(field) for field in share] == [float, float, float, int]
    none = share_interval(np.array([]))
    assert none.n == 0
    assert np.isnan(none[:3]).all()


def test_shares_of_a_grid_are_those_of_scipy():
    flags = np.tril(np.ones((9, 8)), -1)  # k = 0 … 8 of 8
    flags[3] = [1.0, 1.0, 1.0, 0.0, 0.0, NAN, NAN, NAN]  # 3 of the 5 that are left
    found = share_interval(flags.reshape(3, 3, 8), level=0.9)
    n = np.full(9, 8) - 3 * (np.arange(9) == 3)
    np.testing.assert_array_equal(found.n.ravel(), n)
    for k in range(9):
        expected = stats.binomtest(k, int(n[k])).proportion_ci(0.9, method="wilson")
        cell = found.mean.flat[k], found.low.flat[k], found.high.flat[k]
        assert cell == (k / n[k], expected.low, expected.high)


def test_mean_interval_is_scipys_and_gives_the_same_again():
    values = A
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert mean_interval(values) == (values.mean(), expected.low, expected.high, 14)
    assert mean_interval(np.full(3, 0.1)) == (np.full(3, 0.1).mean(),) * 3 + (3,)
    assert np.isnan(mean_interval(np.array([1.0])).low)


def test_the_middle_half_is_the_trimmed_mean_of_scipy():
    values = np.tril(np.random.default_rng(0).normal(size=(9, 9)))
    values[np.triu_indices(9, 1)] = NAN  # n = 1 … 9
    found = interquartile_mean(values, resamples=FEW)
    expected = [stats.trim_mean(row[: i + 1], 0.25) for i, row in enumerate(values)]
    np.testing.assert_allclose(found.mean, expected, rtol=1e-13)
    np.testing.assert_array_equal(found.n, range(1, 10))
    # 1, 2, 3, 4, 10: ⌊5/4⌋ = 1 at each end is left out, (2 + 3 + 4)/3
    five = np.array([4.0, 10.0, NAN, 1.0, 3.0, NAN, 2.0])
    assert interquartile_mean(five, resamples=FEW)[::3] == (3.0, 5)


def test_the_middle_half_of_weighted_seeds_by_hand():
    # 1, 1, 2, 5, 5, 9: ⌊6/4⌋ = 1 is cut at each end, (1 + 2 + 5 + 5)/4; the 7 has weight 0
    values, weights = np.array([5.0, 9.0, 1.0, 7.0, 2.0]), np.array([2.0, 1.0, 2.0, 0.0, 1.0])
    assert jax.jit(lambda x, w: middle_half(x)(w))(values, weights) == 13 / 4


def test_probability_of_improvement_by_hand_and_by_mann_whitney():
    # pairs (a, b): 3 > 1, 3 > 2, 3 = 3; 2 > 1, 2 = 2, 2 < 3; 0 loses three times: 3 wins and 2 ties of 9
    a, b = np.full((2, SIZE), NAN)
    a[:3], b[:3] = [3.0, 2.0, 0.0], [1.0, 2.0, 3.0]
    found = probability_of_improvement(a, b, resamples=FEW)
    assert found[::3] == (pytest.approx(4 / 9, rel=1e-15), 3)
    expected = stats.mannwhitneyu(A, B).statistic / 14**2
    assert probability_of_improvement(A, B).mean == pytest.approx(expected, rel=1e-14)


def test_improvement_of_resampled_seeds_is_that_of_the_repeated_values():
    counts = np.random.default_rng(5).multinomial(14, np.full(14, 1 / 14))
    repeated = stats.mannwhitneyu(np.repeat(A, counts), np.repeat(B, counts)).statistic / 14**2
    found = jax.jit(lambda a, b, weights: superiority(a, b)(weights))(A, B, counts.astype(float))
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
    a, b = np.array([A, B]) + np.random.default_rng(0).normal(0.0, 0.05, (2, 14))
    bound = lambda q: 5.0 * np.sqrt(q * (1 - q) * (1 / 5000 + 1 / 20000)) + 1 / 5000  # noqa: E731
    cases = [
        (interquartile_mean(a, level), (a,), lambda x, axis: stats.trim_mean(x, 0.25, axis=axis)),
        (paired_difference(a, b, level).difference, (a - b,), np.mean),
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


def test_paired_difference_by_hand():
    # differences 1, 1, −1, 0 and three left out: mean ¼, above 0 in 2 of 4
    a = np.array([2.0, 3.0, 1.0, 5.0, NAN, 7.0, np.inf])
    b = np.array([1.0, 2.0, 2.0, 5.0, 1.0, np.inf, np.inf])
    difference, wins = paired_difference(a, b)
    assert (difference.mean, difference.n) == (0.25, 4)
    assert wins == share_interval(np.array([True, True, False, False]))
    # resamples of at least one of the four have a mean between −1 and 1
    assert -1.0 <= difference.low < 0.25 < difference.high <= 1.0


def test_what_is_paired_stays_paired():
    # a beats b by exactly ⅛ on each seed, while seeds differ by 100: the interval of the difference has no
    # width. Of all pairs a wins those with i ≥ j: n (n + 1)/2 of n².
    b = 100.0 * np.arange(SIZE)
    difference, wins = paired_difference(b + 0.125, b)
    assert difference == (0.125, 0.125, 0.125, SIZE)
    assert wins.mean == 1.0
    assert probability_of_improvement(b + 0.125, b, resamples=FEW).mean == pytest.approx(0.5 + 0.5 / SIZE)

    def difference_of_means(x, y):
        return lambda w: mean(x)(w) - mean(y)(w)

    a, b = A[:SIZE], B[:SIZE]
    np.testing.assert_allclose(
        bootstrap(difference_of_means, a, b), paired_difference(a, b).difference, rtol=1e-12, atol=1e-12
    )


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
    first = interquartile_mean(A)
    compiled = module._percentiles._cache_size(), module._draws._cache_size()
    with jax.enable_x64(False):
        assert interquartile_mean(A) == first
    assert interquartile_mean(list(A)) == first
    assert interquartile_mean(A + 1.0, level=0.5) != first
    assert (module._percentiles._cache_size(), module._draws._cache_size()) == compiled
    other = bootstrap(middle_half, A, key=jax.random.key(1))
    assert other.mean == first.mean
    assert other.low != first.low or other.high != first.high


def test_performance_profile_by_hand():
    # of 1, 3 and a NaN, which is left out: both exceed −1, 3 exceeds 1, as 1 does not, and none exceeds 3
    found = performance_profile(np.array([[1.0, 3.0, NAN], [0.0, 1.0, 3.0]]), np.array([-1.0, 1.0, 3.0]))
    np.testing.assert_array_equal(found.mean, [[1.0, 0.5, 0.0], [1.0, 1 / 3, 0.0]])
    np.testing.assert_array_equal(found.n, [[2, 2, 2], [3, 3, 3]])
    # Wilson for n of n reaches down to n / (n + z²)
    np.testing.assert_allclose(found.low[:, 0], np.array([2, 3]) / (np.array([2, 3]) + 1.959963984540054**2))
    one = performance_profile(np.array([0.0, 1.0, 3.0]), [1.0])
    assert [field.shape for field in one] == [(1,)] * 4


@settings(deadline=None, max_examples=50)
@given(values=numbers, order=st.permutations(range(SIZE)), shift=st.integers(-9, 9), scale=st.integers(-3, 3))
def test_properties_of_the_interquartile_mean(values, order, shift, scale):
    found = interquartile_mean(values, resamples=FEW)
    # eighths are exact, so that only the division rounds
    assert values.min() - 1e-12 <= found.low <= found.high <= values.max() + 1e-12
    assert values.min() - 1e-12 <= found.mean <= values.max() + 1e-12
    assert interquartile_mean(values[order], resamples=FEW).mean == pytest.approx(found.mean, abs=1e-12)
    moved = interquartile_mean(shift + scale * values, resamples=FEW)
    assert moved.mean == pytest.approx(shift + scale * found.mean, abs=1e-12)
    # the draws are the same, so that the interval moves along, and turns over with the sign
    ends = np.sort(shift + scale * np.array([found.low, found.high]))
    np.testing.assert_allclose([moved.low, moved.high], ends, atol=1e-12)


@settings(deadline=None, max_examples=50)
@given(a=numbers, b=numbers, left_out=st.lists(st.booleans(), min_size=SIZE, max_size=SIZE))
def test_what_a_wins_b_loses(a, b, left_out):
    a = np.where(left_out, NAN, a)
    forth, back = (probability_of_improvement(x, y, resamples=FEW) for x, y in ((a, b), (b, a)))
    assert forth.n == back.n == SIZE - sum(left_out)
    if forth.n:
        assert forth.mean + back.mean == pytest.approx(1.0, abs=1e-14)
    if forth.n > 1:
        np.testing.assert_allclose([1.0 - back.high, 1.0 - back.low], [forth.low, forth.high], atol=1e-12)
    to, fro = (paired_difference(x, y, resamples=FEW) for x, y in ((a, b), (b, a)))
    np.testing.assert_allclose(to.difference.mean, -fro.difference.mean, atol=1e-12)
    ties = np.sum(a == b)
    assert round((to.wins.mean + fro.wins.mean) * forth.n) == forth.n - ties if forth.n else True


def estimates_of(a, b):
    return [
        interquartile_mean(a).mean,
        probability_of_improvement(a, b).mean,
        *performance_profile(a, THRESHOLDS).mean,
    ]


def test_estimates_are_those_that_rliable_gave():
    # rliable 1.2.0: aggregate_iqm, probability_of_improvement, create_performance_profile of A, B, THRESHOLDS
    recorded = [9.05, 0.6275510204081632, 1.0, 0.8571428571428571, 0.5714285714285714, 0.5, 0.0]
    np.testing.assert_allclose(estimates_of(A, B), recorded, rtol=1e-14)


def test_estimates_are_those_that_rliable_gives():
    metrics = pytest.importorskip("rliable.metrics")
    # a release of one of its many dependencies may break its import
    library = pytest.importorskip("rliable.library", exc_type=Exception)
    for a, b in ((A, B), (B, A), *np.random.default_rng(0).normal(size=(5, 2, 14)).round(1)):
        x, y = a[:, None], b[:, None]  # runs × tasks
        profile, _ = library.create_performance_profile({"a": x}, THRESHOLDS, reps=FEW)
        theirs = [metrics.aggregate_iqm(x), metrics.probability_of_improvement(x, y), *profile["a"]]
        np.testing.assert_allclose(estimates_of(a, b), theirs, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interquartile_mean(np.ones(3), level=1.0), r"^level = 1.0: must be in \(0, 1\)$"),
        (lambda: share_interval(np.ones(3), level=NAN), r"^level = nan: must be in \(0, 1\)$"),
        (lambda: interquartile_mean(np.ones(3), resamples=0), r"^resamples = 0: must be an integer >= 1$"),
        (lambda: paired_difference(np.ones(3), np.ones(4)), r"^shapes of samples = a \(3,\), b \(4,\): must"),
        (lambda: paired_difference(np.ones(3), np.ones(1)), r"^shapes of samples = a \(3,\), b \(1,\): must"),
        (lambda: paired_difference(np.ones((2, 3)), np.ones((4, 3))), r"^shapes of samples = a \(2, 3\), b"),
        (lambda: share_interval(np.array(True)), r"^shapes of samples = flags \(\): must be \[..., n\]"),
        (lambda: bootstrap(mean), r"^shapes of samples = none: must be"),
        (lambda: performance_profile(np.ones(3), np.array([])), r"^thresholds = \[\]: must be a vector of"),
        (lambda: performance_profile(np.ones(3), np.array([0.0, NAN])), r"^thresholds = \[ 0. nan\]: must"),
    ],
)
def test_bad_input_is_named_in_one_line(call, message):
    with pytest.raises(InputError, match=message):
        call()
