"""The rank correlation that the claim reports."""

import numpy as np
import pytest

from fpo_jax.experiments import residual_steering
from fpo_jax.experiments.residual_steering import LOSSES, MEASURES, by_environment, correlation


def test_ranks_are_taken_within_environments(monkeypatch):
    monkeypatch.setattr(residual_steering, "RESAMPLES", 100)
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    group = np.repeat([0, 1], 30)
    y = np.exp(x) - 100.0 * group  # rises with x in each, and is far lower in the second
    assert correlation(x + 50.0 * group, y, group)["correlation"] == pytest.approx(1.0)
    apart = np.where(group == 0, y, -y)  # one way in one, the other way in the other
    assert correlation(x, apart, group)["correlation"] == pytest.approx(0.0, abs=1e-12)
    noise = correlation(x, rng.normal(size=60), group)
    assert noise["low"] < noise["correlation"] < noise["high"]
    assert 0.2 < noise["high"] - noise["low"] < 0.8  # about 4/√60 wide


def test_what_did_not_come_to_rest_is_left_out():
    names = {*MEASURES, "found", "blind_spot_mass", "first", *(n for pair in LOSSES.values() for n in pair)}
    part = {name: np.arange(3.0) for name in names}
    part |= {"residual": np.array([0.0, 1.0, 0.0]), "residual_foresight": np.array([0.0, 0.0, np.nan])}
    found = by_environment({"bandit, small": part, "bandit, large": part, "garnet": part})
    assert {name: len(one["utility"]) for name, one in found.items()} == {"bandit": 2, "garnet": 1}
