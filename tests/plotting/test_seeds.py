"""What seeds did, as marks."""

import numpy as np

from fpo_jax import plotting


def test_over_seeds_leaves_out_what_is_not_finite():
    values = np.array([[0.0, 1.0, np.nan], [2.0, np.inf, np.nan]])
    line = plotting.over_seeds(values, "a", plotting.RLHF)
    np.testing.assert_array_equal(line.y, [1.0, 1.0, np.nan])
    np.testing.assert_allclose([line.low, line.high], [[0.2, 1.0, np.nan], [1.8, 1.0, np.nan]])
    assert plotting.over_seeds(values[:1], "a", plotting.RLHF).low is None  # one seed has no band


def test_the_staircase_ends_at_every_seed():
    line = plotting.ended_below(np.array([3.0, 1.0]), "a", plotting.RLHF)
    assert line.stairs
    assert (line.x.tolist(), line.y.tolist()) == ([1.0, 1.0, 3.0], [0.0, 0.5, 1.0])


def test_groups_stand_side_by_side():
    chart = plotting.side_by_side({"few": np.array([0.0, 1.0]), "many": np.array([2.0, 4.0])}, "")
    (points,) = chart.marks
    np.testing.assert_allclose([points.low, points.y, points.high], [[0.1, 2.2], [0.5, 3.0], [0.9, 3.8]])
    assert chart.x.ticks == {0.0: "few", 1.0: "many"}


def test_planted_arms_stand_on_shaded_ground():
    bars, ground = plotting.policy_bars(
        np.array([0.2, 0.3, 0.5]), np.array([0, 1, 1]), plotting.RLHF, ""
    ).marks
    assert bars.lengths.tolist() == [0.2, 0.3, 0.5]
    assert (ground.low, ground.high) == (0.5, 2.5)
    assert len(plotting.policy_bars(np.ones(3) / 3, np.zeros(3), plotting.RLHF, "").marks) == 1
