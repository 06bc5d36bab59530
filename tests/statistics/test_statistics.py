"""Statistics over seeds, against scipy, against counts by hand, and against rliable where it is installed."""

import jax
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from fpo_jax import InputError
from fpo_jax.experiments.bench.coverage import DISTRIBUTIONS, coverage
from fpo_jax.statistics import (
    beyond_optimum,
    collapsed,
    interquartile_mean,
    mean_interval,
    paired_difference,
    passing,
    performance_profile,
    probability_of_improvement,
    share_gained,
    share_interval,
)
from fpo_jax.statistics import bootstrap as module
from fpo_jax.statistics.bootstrap import bootstrap, mean, middle_half, superiority
from tests.helpers import compilations

NAN = np.nan
SIZE = 7
FEW = 21  # resamples, where their number does not matter
# final utilities of 14 seeds under two methods: they hold or collapse, with ties
A = np.array([8.9, 9.5, 2.0, 8.9, 9.4, 9.3, 9.0, 9.3, 2.0, 9.5, 8.5, 8.2, 9.1, 9.4])
B = np.array([2.0, 2.0, 9.0, 9.0, 9.7, 9.4, 9.1, 2.0, 8.9, 8.5, 2.0, 9.3, 8.9, 2.0])
THRESHOLDS = np.array([0.0, 2.0, 8.9, 9.0, 12.0])
numbers = st.lists(st.integers(-50, 50).map(lambda i: i / 8), min_size=SIZE, max_size=SIZE).map(np.array)


def test_collapse_is_too_small_a_share_of_what_was_to_be_gained_or_of_what_was():
    # From 1 to an optimum of 10 there are 9 to gain: half is 4.5, an end of 5.5. A peak of 8 gained 7, of
    # which 70 % are 4.9, an end of 5.9.
    utility = np.array([[1.0, 8.0, 5.8], [1.0, 8.0, 6.0], [1.0, 4.0, 5.4], [1.0, 4.0, 5.6], [1.0, 3.0, 0.5]])
    np.testing.assert_array_equal(collapsed(utility, 10.0), [True, False, True, False, True])
    np.testing.assert_allclose(share_gained(utility, 10.0)[0], [0.0, 7 / 9, 4.8 / 9])
    # of two cells of two seeds, whose optima are 10 and 20, so that an end of 10.5 is half: 6 is not
    cells = collapsed(utility[:4].reshape(2, 2, 3), np.array([10.0, 20.0]))
    np.testing.assert_array_equal(cells, [[True, True], [True, True]])


def test_losses_collapse_as_gains_do():
    assert not collapsed([[-3, -1]], -1)  # at the optimum
    assert not collapsed([[-1.0, -1.0 - 1e-15]], -1.0)  # nothing was to be gained, and nothing was lost
    assert collapsed([[-1.0, -1.1]], -1.0)
    assert collapsed([[-3.0, -1.0, -2.5]], -1.0)


@settings(deadline=None, max_examples=200)
@given(
    utility=st.lists(st.integers(-40, 40), min_size=2, max_size=6),
    room=st.integers(0, 40),
    shift=st.integers(-1000, 1000),
    scale=st.sampled_from([0.125, 1.0, 64.0]),
)
def test_collapse_is_the_same_whatever_the_zero_and_the_unit_of_utility(utility, room, shift, scale):
    values = np.array(utility) / 8  # exact, and so are their multiples
    optimum = values.max() + room / 8
    gained, possible = values[-1] - values[0], optimum - values[0]
    assume(gained not in (0.5 * possible, 0.7 * (values.max() - values[0])))  # no tie that rounding decides
    assert collapsed(values, optimum) == collapsed(shift + scale * values, shift + scale * optimum)


def test_a_utility_beyond_its_optimum_is_told():
    utility = np.array([[0.0, 1.2, 0.9], [0.0, 1.0 + 1e-14, 0.9], [0.0, -0.3, -0.2]])
    np.testing.assert_allclose(beyond_optimum(utility, np.array([1.0, 1.0, -0.4])), [0.2, 0.0, 0.4])
    assert passing(utility[1:2], 1.0) is None
    assert passing(utility, 1.0).startswith("true utility passes the optimum in 1 of 3 runs, by up to 0.2:")
    single = np.array([[0.0, 1.0 + 1e-5]], np.float32)  # rounding there, and not in double precision
    assert passing(single, 1.0) is None
    assert passing(single.astype(float), 1.0) is not None


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
    values = A
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

    a, b = A[:SIZE], B[:SIZE]
    np.testing.assert_allclose(
        bootstrap(difference_of_means, a, b), bootstrap(mean, a - b), rtol=1e-12, atol=1e-12
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
    with compilations() as more:
        with jax.enable_x64(False):
            assert interquartile_mean(A) == first
        assert interquartile_mean(list(A)) == first
        assert interquartile_mean(A + 1.0, level=0.5) != first
    assert more == []
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
