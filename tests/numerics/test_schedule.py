"""Annealing, by hand."""

import pytest

from fpo_jax.numerics.schedule import annealed


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 5.0), (0.5, 2.0 + 3.0 * 7 / 8), (1.0, 2.0)])
def test_a_strength_goes_from_one_end_to_the_other(progress, expected):
    # final + (initial − final)(1 − pᵖᵒʷᵉʳ), at ½ to the third 1 − 1/8
    assert annealed(5.0, 2.0, 3.0, progress) == expected
