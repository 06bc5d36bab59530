"""Whole runs against the independent NumPy oracle, and against figures read off the published recordings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import (
    Autodiff,
    BestResponse,
    Exact,
    ForwardDifference,
    Gradient,
    Leader,
    Myopic,
    Practical,
    Relaxed,
    outcome,
    run_seed,
)
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.linear import Linear
from fpo_jax.experiments.bench.numpy_oracle import BanditOracle, LinearOracle
from fpo_jax.numerics.keys import named_key

OBJECTIVES = {
    "myopic": Myopic(),
    "practical": Practical(weight=0.1),
    "relaxed": Relaxed(weight=0.1),
    "exact": Exact(),
}
PUBLISHED = Gradient(rm_lr=0.005, weight_decay=1e-4)
SCHEMES = {"analytic": Autodiff(), "forward difference": ForwardDifference(difference_step=0.05)}


def run_linear(objective, scheme, weights, steps, key):
    leader = Leader(OBJECTIVES[objective], policy_lr=0.02, differentiator=SCHEMES[scheme])
    game = Linear(dimension=weights.size)
    start = (jnp.zeros(weights.size), jnp.asarray(weights))
    return run_seed(game, leader, PUBLISHED, key, steps=steps, record=outcome, initial=start)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_linear(objective, scheme, key):
    weights = np.r_[np.ones(3), np.zeros(9)] + 0.1 * np.random.default_rng(1).normal(size=12)
    expected = LinearOracle(objective, weight=0.1, gradient=scheme).run(weights, 200)
    state, trace = run_linear(objective, scheme, weights, 200, key)
    for name in ("true_utility", "proxy_reward", "signal_norm", "noise_norm"):
        np.testing.assert_allclose(trace.metrics[name], expected[name], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(state.theta, expected["theta"], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(state.reward_model.phi, expected["phi"], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_bandit(objective, key):
    game = Bandit().draw(named_key(key, "instance"))
    oracle = BanditOracle(*map(np.asarray, game.arms), objective=objective, weight=0.1)
    expected = oracle.run(300)
    leader = Leader(OBJECTIVES[objective], policy_lr=1.0)
    follower = BestResponse(ridge=0.1, alpha=0.3)
    state, trace = run_seed(Bandit(), leader, follower, key, steps=300, record=outcome)
    for name in ("true_utility", "proxy_reward", "blind_spot_mass", "kl"):
        np.testing.assert_allclose(trace.metrics[name], expected[name], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(jax.nn.softmax(state.theta), expected["policy"], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(state.reward_model.phi, expected["phi"], rtol=1e-10)


# Last entries of the recordings of the published linear experiment, seed 0, dimension 50, which drew its
# initial weights as 1 on the signal plus 0.1 times numpy's legacy normal numbers.
RECORDED_FINALS = {
    "myopic": {"true_utility": 3.93216844, "signal_norm": 4.06340418, "noise_norm": 1.64798473},
    "relaxed": {"true_utility": 9.80597904, "signal_norm": 3.27489059, "noise_norm": 0.17177368},
    "practical": {"true_utility": 5.53314037, "signal_norm": 3.41909728, "noise_norm": 1.39280772},
}


@pytest.mark.parametrize("objective", RECORDED_FINALS)
def test_published_finals(objective, key):
    noise = np.random.RandomState(0).randn(50)
    weights = np.r_[np.ones(3), np.zeros(47)] + 0.1 * noise
    _, trace = run_linear(objective, "forward difference", weights, 300, key)
    for name, recorded in RECORDED_FINALS[objective].items():
        np.testing.assert_allclose(trace.metrics[name][-1], recorded, atol=1e-8)
