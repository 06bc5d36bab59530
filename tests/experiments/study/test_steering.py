"""What is measured of residual steering: held to differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from fpo_jax.equilibria import equilibrium
from fpo_jax.expect import evaluate
from fpo_jax.experiments.study import players
from fpo_jax.experiments.study.steering import Drawn, measured

PLACE = Drawn(
    "bandit",
    "few arms",
    {"ordinary": 3, "planted": 1},
    {"alpha": (0.2, 0.8)},
    {"ridge": (0.01, 0.1)},
    0.5,
    1500,
)


def test_settings_are_drawn_within_their_ranges_anew_for_each_seed():
    drawn = [PLACE.settings(seed) for seed in range(200)]
    for name, (low, high) in {"alpha": (0.2, 0.8), "ridge": (0.01, 0.1)}.items():
        values = np.array([one[name] for one in drawn])
        assert low <= values.min() < values.max() <= high
        assert len({*values}) == 200
    assert drawn[3] == PLACE.settings(3)
    # uniform in the logarithm: half lies below √(0.01 · 0.1), within 4 standard deviations of 200 draws
    below = np.mean([one["ridge"] < 0.1**1.5 for one in drawn])
    assert abs(below - 0.5) < 4 * 0.5 / np.sqrt(200)


@pytest.mark.slow
def test_steering_is_what_differences_of_the_foreseen_value_leave_of_the_standard_gradient():
    found = measured(PLACE, 1, lambda *_: None)
    wishes = {"environment": "bandit", "rule": "mirror", **PLACE.fixed, **PLACE.settings(0)}
    game, leader, follower, key = players.meet(wishes, 0)
    at = equilibrium(game, leader, follower, game.init(key)[0], key)

    @jax.jit
    def value(theta, other):
        phi = follower.limit(game, other, at.reward_model, key).phi
        return evaluate(game, theta, phi, key)

    unit, h = jnp.eye(4), 1e-5
    # J(θ, φ*(θ')) by differences in θ' alone
    slope = np.array([value(at.theta, at.theta + h * e) - value(at.theta, at.theta - h * e) for e in unit])
    gain = slope / (2 * h) / softmax(at.theta)
    assert found["steering_norm"][0] == pytest.approx(np.sqrt(softmax(at.theta) @ gain**2), rel=1e-3)
    assert found["largest"][0] == pytest.approx(gain.max(), rel=1e-3)
    assert found["value"][0] == pytest.approx(float(value(at.theta, at.theta)), abs=1e-6)
    assert found["found"][0] == 1.0
    assert found["residual"][0] < 1e-9
    assert found["value_foresight"][0] >= found["value"][0] - 1e-7  # of two starts, one is the equilibrium
