"""What is varied, and what a branch says at a value."""

from types import SimpleNamespace

import numpy as np
import pytest

from fpo_jax.continuation import Branch
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.equilibria.branches import at_value, vary_of
from fpo_jax.experiments.equilibria.result import MEASURES
from tests.helpers import require_named

BANDIT = resolve({"environment": "bandit", "objective": "myopic"})


def test_a_range_is_read():
    assert vary_of("alpha=0.02:1:50", [BANDIT]) == ("alpha", 0.02, 1.0, 50)
    assert vary_of("planted-style-low=0.5:2:4", [BANDIT]).name == "planted_style_low"


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("alpha", "vary = alpha: must be NAME=LOW:HIGH:POINTS"),
        ("alpha=1:0:5", "vary = alpha=1:0:5"),
        ("alpha=0:1:1", "vary = alpha=0:1:1"),
        ("alpha=0:nan:5", "vary = alpha=0:nan:5"),
        ("alfa=0:1:5", "vary = alfa: must be one of "),
        ("ordinary=2:5:4", "vary = ordinary: must be a real number, one of "),
        ("alpha=0.5:1.5:5", "alpha = 1.5: must be a finite number >= 0 and <= 1"),
    ],
)
def test_other_ranges_are_refused(written, complaint):
    require_named(complaint, lambda: vary_of(written, [BANDIT]))


def test_a_folded_branch_passes_a_value_twice_and_is_interpolated():
    # values rise to 2 and fall back to 0: at 0.5 the utility is 5 on the way up, and 35 on the way back
    values = np.array([0.0, 1.0, 2.0, 1.0, 0.0])
    numbers = dict.fromkeys(MEASURES, 0.0)
    points = tuple(
        SimpleNamespace(metrics=numbers | {"true_utility": 10.0 * place, "stable": place < 2})
        for place in range(5)
    )
    branch = Branch(values, points, (), ("", ""))
    assert [at["true_utility"] for at in at_value(branch, 0.5)] == [5.0, 35.0]
    assert [at["stable"] for at in at_value(branch, 0.5)] == [1.0, 0.0]
    assert [at["true_utility"] for at in at_value(branch, 1.0)] == [10.0, 30.0]
    assert [at["true_utility"] for at in at_value(branch, 0.0)] == [0.0, 40.0]
    assert at_value(branch, 2.5) == []
