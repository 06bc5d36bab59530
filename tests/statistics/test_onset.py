"""When a collapse begins, the area under the ROC of a monitor, and what its alarms are worth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from fpo_jax.errors import InputError
from fpo_jax.statistics import alarms, auc, collapsed, highest, onsets, threshold_at, warned


def test_a_collapse_begins_where_utility_falls_below_its_peak_for_good():
    # Gains on U₀ = 1: 0 4 10 8 6 9 6 5, peak 10; at share 0.7 below 7 are the entries 4, 6, 7, and for good
    # from 6; at 0.55 below 5.5 is the last alone; at 0.95, below 9.5, all from entry 3.
    utility = 1.0 + np.array([0.0, 4.0, 10.0, 8.0, 6.0, 9.0, 6.0, 5.0])
    found = [float(onsets(utility, share)) for share in (0.7, 0.55, 0.95)]
    assert found == [6.0, 7.0, 3.0]
    rising = np.array([0.0, 1.0, 2.0])
    falling = np.array([0.0, -1.0, -2.0])  # below 0.7 of a peak of 0 from entry 1
    np.testing.assert_array_equal(onsets(np.stack([rising, falling])), [np.nan, 1.0])


def test_what_is_rounding_begins_nothing():
    # gains 0, 1 and 0.7 less a little, of a utility whose largest size, 1, is that of the start: rounding is
    # below 10³ · 2⁻⁵² = 2.2e-13
    assert np.isnan(onsets(np.array([-1.0, 0.0, -0.3 - 1e-14])))
    assert onsets(np.array([-1.0, 0.0, -0.3 - 1e-12])) == 2


def test_no_share_is_refused():
    with pytest.raises(InputError, match=r"^share = 0\.0: must be in \(0, 1\]"):
        onsets(np.zeros(3), 0.0)


@settings(deadline=None, max_examples=200)
@given(utility=st.lists(st.integers(-40, 40), min_size=2, max_size=8), shift=st.integers(-1000, 1000))
def test_what_begins_to_fall_has_collapsed_whatever_the_zero_of_utility(utility, shift):
    values = np.array(utility) / 8 + shift
    began = onsets(values)
    assert np.isnan(began) or collapsed(values, values.max())
    # for good from there on, by the definition itself, in exact eighths
    gained = [8 * (u - values[0]) for u in values]
    below = [10 * g < 7 * max(gained[: i + 1]) for i, g in enumerate(gained)]
    first = next((t for t in range(len(below)) if all(below[t:])), np.nan)
    np.testing.assert_equal(began, first)


@pytest.mark.parametrize("equal", [False, True])
def test_the_area_is_the_statistic_of_mann_and_whitney(equal):
    rng = np.random.default_rng(0)
    fell, healthy = rng.normal(1.0, 1.0, 40), rng.normal(0.0, 1.0, 60)
    if equal:
        fell, healthy = np.round(fell), np.round(healthy)
        fell[:3] = healthy[:5] = -np.inf
    found = auc(fell, healthy)
    np.testing.assert_allclose(found.mean, mannwhitneyu(fell, healthy).statistic / 2400, rtol=1e-12)
    # the same through the matrix
    np.testing.assert_allclose(auc(fell, np.tile(healthy, (40, 1))), found)


def test_delongs_interval_covers_what_it_says():
    # P(N(1, 1) > N(0, 1)) = Φ(1/√2) = 0.76025. Of 1000 intervals at 95 % the share that covers has a standard
    # deviation of √(.95 · .05 / 1000) = .0069; DeLong's is known to cover a little too little at these sizes.
    rng = np.random.default_rng(1)
    held = [
        found.low <= 0.76025 <= found.high
        for found in (auc(rng.normal(1, 1, 40), rng.normal(0, 1, 60)) for _ in range(1000))
    ]
    assert abs(np.mean(held) - 0.95) < 0.025


def test_no_runs_of_a_kind_have_no_area():
    assert np.isnan(auc(np.zeros(0), np.zeros(3)).mean)
    assert auc(np.ones(2), np.zeros(3)) == (1.0, 1.0, 1.0, 5)


def test_a_threshold_gives_no_more_false_alarms_than_asked():
    healthy = np.arange(20.0)  # at 10 %, two of twenty: 18 and 19
    threshold = threshold_at(0.1, healthy)
    assert np.sum(healthy >= threshold) == 2
    # of two environments each counts half: 10 % are the two highest of five hundredths each … of 20 and of
    # 100 scores weigh 1/40 and 1/200: above 100 stand 100 … 119, twenty scores of 1/200, which are 10 %
    both = threshold_at(0.1, np.arange(20.0), np.arange(20.0, 120.0))
    assert np.sum(np.arange(20.0, 120.0) >= both) == 20


def test_an_alarm_is_judged_by_when_it_comes():
    # The monitor reaches 1 at entries 1, 3, never, and in the healthy runs never, at 2.
    monitor = np.array([[0, 1, 0, 0], [0, 0, 0, 2], [0, 0, 0, 0], [0, 0, 0.5, 0], [0, np.nan, 1, 0]])
    np.testing.assert_array_equal(alarms(monitor, 1.0), [1, 3, np.nan, np.nan, 2])
    np.testing.assert_array_equal(highest(monitor)[-1], [0, 0, 1, 1])
    kl = np.tile(np.array([0.0, 0.1, 0.3, 0.7]), (5, 1))
    began = np.array([3.0, 2.0, 1.0, np.nan, np.nan])
    found = warned(monitor, 1.0, began, np.isnan(began), kl, 5.0 * np.arange(4))
    assert found.false_alarms.mean == 0.5
    assert found.in_time.mean == pytest.approx(1 / 3)  # the second comes an entry too late
    assert found.detected.mean == pytest.approx(2 / 3)
    # two entries of 5 iterations early and one late; from KL 0.1 to 0.7, and from 0.7 back to 0.3
    assert found.lead.mean == pytest.approx((10 - 5) / 2)
    assert found.lead_kl.mean == pytest.approx((0.6 - 0.4) / 2)
