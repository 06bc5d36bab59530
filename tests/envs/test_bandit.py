"""The bandit as described, which collapses without steering and not with it."""

import jax
import numpy as np
import pytest

from fpo_jax import BestResponse, Exact, Leader, Myopic, Practical, Relaxed, outcome, run_seeds, seed_keys
from fpo_jax.envs.bandit import Bandit


def finals(objective, steps, seeds):
    leader, follower = Leader(objective, policy_lr=1.0), BestResponse(ridge=0.1, alpha=0.3)
    _, trace = run_seeds(Bandit(), leader, follower, seed_keys(seeds), steps=steps, record=outcome)
    return {name: float(np.mean(values[:, -1])) for name, values in trace.metrics.items()}


def check_collapse_and_cure(**size):
    # The bounds are those of the claim, not of a recording: more than half against less than 5 % of the
    # mass in the blind spot, with the approximations at weight 0.1 between.
    myopic, exact = finals(Myopic(), **size), finals(Exact(), **size)
    relaxed, practical = finals(Relaxed(weight=0.1), **size), finals(Practical(weight=0.1), **size)
    assert myopic["blind_spot_mass"] > 0.5
    assert myopic["proxy_reward"] > myopic["true_utility"]
    assert exact["blind_spot_mass"] < 0.05
    for between in (relaxed, practical):
        assert exact["blind_spot_mass"] < between["blind_spot_mass"] < myopic["blind_spot_mass"]
        assert exact["true_utility"] > between["true_utility"] > myopic["true_utility"]


def test_bandit_collapses_without_steering_and_not_with_it():
    check_collapse_and_cure(steps=1500, seeds=16)


@pytest.mark.slow
def test_bandit_at_the_size_of_the_claim():
    check_collapse_and_cure(steps=3000, seeds=64)


def test_bandits_are_drawn_as_described(key):
    # 2000 instances: means of uniform numbers lie within 5 standard errors, range / √(12 n).
    arms = jax.vmap(Bandit().draw)(jax.random.split(key, 2000)).arms
    assert arms.quality.shape == (2000, 24)
    ordinary, planted = arms.planted[0] == 0, arms.planted[0] == 1
    assert (ordinary.sum(), planted.sum()) == (18, 6)
    q, s = np.asarray(arms.quality), np.asarray(arms.features[..., 0])
    np.testing.assert_allclose(arms.features[..., 1], 0.3 * q, rtol=1e-15)
    noise = s[:, ordinary] - 0.8 * q[:, ordinary]
    ranges = {
        "ordinary quality": (q[:, ordinary], 0.0, 1.0),
        "style noise": (noise, 0.0, 0.2),
        "planted quality": (q[:, planted], 0.0, 0.2),
        "planted style": (s[:, planted], 2.0, 3.0),
    }
    for name, (values, low, high) in ranges.items():
        assert values.min() >= low - 1e-12, name
        assert values.max() <= high + 1e-12, name
        assert abs(values.mean() - (low + high) / 2) < 5 * (high - low) / np.sqrt(12 * values.size), name
    assert abs(np.corrcoef(q[:, ordinary].ravel(), noise.ravel())[0, 1]) < 5 / np.sqrt(noise.size)
