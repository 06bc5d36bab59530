"""Intervals over seeds, against scipy, against counts by hand, and against rliable where it is installed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fpo_jax import InputError
from fpo_jax.experiments.bench.coverage import DISTRIBUTIONS, coverage
from fpo_jax.statistics import (
    interquartile_mean,
    mean_interval,
    paired_difference,
    performance_profile,
    probability_of_improvement,
    share_interval,
)
from fpo_jax.statistics.bootstrap import bootstrap, mean
from tests.helpers import METHOD_A, METHOD_B

NAN = np.nan
SIZE = 7
FEW = 21  # resamples, where their number does not matter
THRESHOLDS = np.array([0.0, 2.0, 8.9, 9.0, 12.0])
numbers = st.lists(st.integers(-50, 50).map(lambda i: i / 8), min_size=SIZE, max_size=SIZE).map(np.array)


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


def test_the_interval_of_a_mean_is_studentised():
    # t* = (x̄* − x̄) / s*, s = √(Σ (x − x̄)²) / n, from resamples of scipy's kind; the ends are x̄ − q s, with
    # quantiles q of t* held to ± 2 t_{n−1}. Of 200 000 and of 5000 resamples a quantile differs by about
    # √(0.025 · 0.975 / 5000) = 0.0022 in probability: in t by 0.0022 / density, 0.06 · … or so.
    values = METHOD_A
    n, centre = values.size, values.mean()
    drawn = np.random.default_rng(1).integers(0, n, (200_000, n))
    resampled = values[drawn]
    means, errors = resampled.mean(axis=1), resampled.std(axis=1) / np.sqrt(n)
    bound = 2 * stats.t.ppf(0.975, n - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.clip((means - centre) / errors, -bound, bound)
    own = values.std() / np.sqrt(n)
    low, high = centre - np.nanquantile(t, [0.975, 0.025]) * own
    found = mean_interval(values)
    assert (found.mean, found.n) == (pytest.approx(centre, rel=1e-14), n)
    np.testing.assert_allclose([found.low, found.high], [low, high], atol=0.15 * own)
    percentiles = np.quantile(means, [0.025, 0.975])
    assert found.low < percentiles[0] - 0.15 * own  # it leans to where the few low values lie
    assert mean_interval(values) == found


def test_the_interval_of_a_mean_leaves_out_seeds_that_diverged():
    assert mean_interval(np.array([1, 2, 3, NAN, 4]))[::3] == (2.5, 4)
    # with one seed too few for any it is none, and equal values have an interval without width
    assert np.isnan(mean_interval(np.array([1.0]))[1:3]).all()
    assert np.isnan(mean_interval(np.array([1.0, NAN]))[1:3]).all()
    np.testing.assert_allclose(mean_interval(np.full(3, 0.1))[:3], 0.1, rtol=1e-15)
    # whatever is estimated of a mean is this
    values = np.random.default_rng(0).normal(size=64)
    assert paired_difference(values, np.zeros(64)).difference == mean_interval(values)


def test_an_end_lies_at_most_twice_as_far_as_students():
    # One seed of 64 fell. A resample without it has no error to speak of, so that t* = ∞ and low = −∞.
    values = np.r_[np.full(63, 9.9), 2.0]
    found, own = mean_interval(values), values.std() / 8
    np.testing.assert_allclose(found.low, values.mean() - 2 * stats.t.ppf(0.975, 63) * own, rtol=1e-12)
    assert values.mean() < found.high < 9.95


@pytest.mark.parametrize(("seeds", "least"), [(8, 0.87), (16, 0.89), (64, 0.91)])
def test_the_interval_of_a_mean_covers_it_in_skewed_samples(seeds, least):
    # of 1000 lognormal samples; the standard error of a share of 0.9 is 0.01. Percentiles: 0.79, 0.83, 0.91
    ours, percentiles = coverage(DISTRIBUTIONS["lognormal"], seeds, trials=1000, resamples=1000)
    assert ours > least
    assert ours > percentiles + 0.01


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


def test_probability_of_improvement_by_hand_and_by_mann_whitney():
    # pairs (a, b): 3 > 1, 3 > 2, 3 = 3; 2 > 1, 2 = 2, 2 < 3; 0 loses three times: 3 wins and 2 ties of 9
    a, b = np.full((2, SIZE), NAN)
    a[:3], b[:3] = [3.0, 2.0, 0.0], [1.0, 2.0, 3.0]
    found = probability_of_improvement(a, b, resamples=FEW)
    assert found[::3] == (pytest.approx(4 / 9, rel=1e-15), 3)
    expected = stats.mannwhitneyu(METHOD_A, METHOD_B).statistic / 14**2
    assert probability_of_improvement(METHOD_A, METHOD_B).mean == pytest.approx(expected, rel=1e-14)


def test_paired_difference_by_hand():
    # differences 1, 1, −1, 0 and three left out: mean ¼, above 0 in 2 of 4
    a = np.array([2.0, 3.0, 1.0, 5.0, NAN, 7.0, np.inf])
    b = np.array([1.0, 2.0, 2.0, 5.0, 1.0, np.inf, np.inf])
    difference, wins = paired_difference(a, b)
    assert (difference.mean, difference.n) == (0.25, 4)
    assert wins == share_interval(np.array([True, True, False, False]))
    assert difference == mean_interval(np.array([1.0, 1.0, -1.0, 0.0, NAN, NAN, NAN]))


def test_what_is_paired_stays_paired():
    # a beats b by exactly ⅛ on each seed, while seeds differ by 100: the interval of the difference has no
    # width. Of all pairs a wins those with i ≥ j: n (n + 1)/2 of n².
    b = 100.0 * np.arange(SIZE)
    difference, wins = paired_difference(b + 0.125, b)
    np.testing.assert_allclose(difference, (0.125, 0.125, 0.125, SIZE), rtol=1e-14)
    assert wins.mean == 1.0
    assert probability_of_improvement(b + 0.125, b, resamples=FEW).mean == pytest.approx(0.5 + 0.5 / SIZE)

    def difference_of_means(x, y):
        return lambda w: mean(x)(w) - mean(y)(w)

    a, b = METHOD_A[:SIZE], METHOD_B[:SIZE]
    np.testing.assert_allclose(
        bootstrap(difference_of_means, a, b), bootstrap(mean, a - b), rtol=1e-12, atol=1e-12
    )


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
    # rliable 1.2.0: aggregate_iqm, probability_of_improvement, create_performance_profile,
    # of METHOD_A, METHOD_B, THRESHOLDS
    recorded = [9.05, 0.6275510204081632, 1.0, 0.8571428571428571, 0.5714285714285714, 0.5, 0.0]
    np.testing.assert_allclose(estimates_of(METHOD_A, METHOD_B), recorded, rtol=1e-14)


def test_estimates_are_those_that_rliable_gives():
    metrics = pytest.importorskip("rliable.metrics")
    # a release of one of its many dependencies may break its import
    library = pytest.importorskip("rliable.library", exc_type=Exception)
    for a, b in (
        (METHOD_A, METHOD_B),
        (METHOD_B, METHOD_A),
        *np.random.default_rng(0).normal(size=(5, 2, 14)).round(1),
    ):
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
