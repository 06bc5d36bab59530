"""Collapse: which runs have lost what they had, and how much of what was to be gained is left."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fpo_jax.statistics import beyond_optimum, collapsed, passing, share_gained


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


def test_rounding_is_that_of_each_seed_whatever_the_others_are():
    # 1e20 rounds to 2e4, far more than the whole room of the first seed.
    utility = np.array([[0.0, 0.5], [0.0, 0.5e20]])
    np.testing.assert_allclose(share_gained(utility, np.array([1.0, 1e20])), [[0.0, 0.5], [0.0, 0.5]])
