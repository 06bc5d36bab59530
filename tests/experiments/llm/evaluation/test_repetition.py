"""Repetition by hand, and correlations within prompts against scipy's."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from fpo_jax.experiments.llm.evaluation.repetition import apart, repetition, within_prompts


@pytest.mark.parametrize(
    ("tokens", "n", "wanted"),
    [
        ([1, 2, 1, 2, 1], 2, 1 / 2),  # 12 21 12 21: two of four are different
        ([1, 2, 3, 4], 2, 0.0),
        ([7] * 5, 2, 3 / 4),  # one of four
        ([7] * 5, 1, 4 / 5),
        ([7] * 5, 4, 1 / 2),  # one of two
        ([7], 2, 0.0),
        ([], 2, 0.0),
    ],
)
def test_repetition_by_hand(tokens, n, wanted):
    assert repetition(tokens, n) == pytest.approx(wanted)


def test_correlations_are_those_within_prompts():
    """Between prompts a and b rise together; within each they fall. The last two prompts have no ρ."""
    draw = np.random.default_rng(0)
    b = draw.integers(0, 4, size=(5, 6)).astype(float)  # with ties
    a = -b + draw.normal(size=(5, 6)) + 100.0 * np.arange(5)[:, None]
    b = b + 100.0 * np.arange(5)[:, None]
    a[3], b[4] = 1.0, 2.0
    wanted = [spearmanr(a[i], b[i]).statistic for i in range(3)]
    found = within_prompts(a, b)
    assert found["n"] == 3
    assert found["mean"] == pytest.approx(np.mean(wanted))
    assert found["mean"] < 0
    assert found["low"] <= found["mean"] <= found["high"]
    assert within_prompts(np.ones((2, 3)), b[:2, :3]) == {"mean": None, "low": None, "high": None, "n": 0}
    np.testing.assert_allclose(apart(a).reshape(5, 6).sum(axis=1), 0.0, atol=1e-9)
