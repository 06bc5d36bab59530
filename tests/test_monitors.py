"""Monitors against their formulas in NumPy, and what they do not depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import BestResponse, Leader, Myopic, run_seed
from fpo_jax.envs.bandit import Arm, BanditGame
from fpo_jax.envs.linear import Linear
from fpo_jax.errors import InputError
from fpo_jax.followers import Ensemble, Gradient, Monitored
from fpo_jax.followers.monitored import Kept
from fpo_jax.monitors import DAMPING, MONITORS, monitored
from fpo_jax.types import RewardModel, State

RIDGE, ALPHA = 0.1, 0.3
MEMBER = BestResponse(ridge=RIDGE, alpha=ALPHA)
FOLLOWER = Monitored(follower=MEMBER, beside=Ensemble(members=2, member=MEMBER))
FEATURES = np.array([[0.1, 0.05], [0.4, 0.12], [0.9, 0.25], [2.5, 0.03]])
QUALITY = np.array([0.2, 0.4, 0.8, 0.1])
PLANTED = np.array([0.0, 0.0, 0.0, 1.0])
THETA, FIRST = np.array([0.3, -0.2, 0.1, 0.8]), np.zeros(4)
PHI, BEFORE = np.array([0.7, 0.4]), np.array([0.8, 0.1])
MEMBERS = np.array([[0.6, 0.3], [0.9, 0.5]])
TEMPERATURE = 0.02


def state(scale=1.0):
    """A state with given models; a reward model of `scale` times the reward."""
    members = RewardModel(jnp.asarray(scale * MEMBERS))
    kept = Kept(jnp.zeros(2), jnp.asarray(FIRST), jnp.asarray(scale * BEFORE), members)
    return State(jnp.asarray(THETA), RewardModel(jnp.asarray(scale * PHI), kept))


def game(scale=1.0):
    arms = Arm(jnp.asarray(FEATURES), jnp.asarray(scale * QUALITY), jnp.asarray(PLANTED))
    return BanditGame(arms, scale * TEMPERATURE)


@jax.jit
def found(scale):
    return monitored(game(scale), FOLLOWER, state(scale), jax.random.key(0))


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum()


def expected():
    """All monitors but the cosine's and the norm's gradients, from their formulas."""
    w, w0 = softmax(THETA), softmax(FIRST)
    r, before = FEATURES @ PHI, FEATURES @ BEFORE
    offline = (1 - PLANTED) / 3
    mu = (1 - ALPHA) * offline + ALPHA * w
    sd = lambda f, p: np.sqrt(p @ (f - p @ f) ** 2)  # noqa: E731
    unit = sd(r, w0)
    trained = np.sqrt(mu @ (r - QUALITY) ** 2)
    # L = Σ μ (φ·x − U)² + λ ‖φ‖²: H = 2 Σ μ x xᵀ + 2 λ I
    h = 2 * FEATURES.T @ (mu[:, None] * FEATURES) + 2 * RIDGE * np.eye(2)
    h += DAMPING * np.trace(h) / 2 * np.eye(2)
    leverage = np.einsum("ij,ij->i", FEATURES @ np.linalg.inv(h), FEATURES)
    change = r - before
    gains = FEATURES @ MEMBERS.T
    norms = (FEATURES**2).sum(axis=1)
    # of E_w[f]: ∂/∂θ_i = w_i (f_i − E[f]); the cost is τ Σ w log w, whose gradient is that of E[log w]
    slope = lambda f: w * (f - w @ f)  # noqa: E731
    pays, earns = slope(norms), slope(r - TEMPERATURE * np.log(w))
    return {
        "proxy_growth": (w @ r - w0 @ r) / unit,
        "fresh_residual": np.sqrt(w @ (before - QUALITY) ** 2) / trained,
        "overestimate": w @ (before - QUALITY) / trained,
        "worse_labels": (w0 @ QUALITY - w @ QUALITY) / sd(QUALITY, w0),
        "leverage": (w @ leverage) / (w0 @ leverage),
        "disagreement": np.std((w - w0) @ gains) / unit,
        "drift": np.sqrt(w @ (change - w0 @ change) ** 2) / unit,
        "taken_back": -(w - w0) @ change / unit,
        "estimated_steering_norm": np.linalg.norm(pays) / (w0 @ norms) / (np.linalg.norm(earns) / unit),
        "estimated_steering_cosine": pays @ earns / np.linalg.norm(pays) / np.linalg.norm(earns),
    }


def test_monitors_are_their_formulas():
    metrics = found(1.0)
    assert {*MONITORS} == {*expected()}
    for name, value in expected().items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-9, err_msg=name)
    assert metrics["kl"] > 0


def test_monitors_have_no_unit():
    for name in MONITORS:
        np.testing.assert_allclose(found(4.0)[name], found(1.0)[name], rtol=1e-9, err_msg=name)


def test_what_is_asked_of_a_follower_that_keeps_nothing_is_refused():
    with pytest.raises(InputError, match=r"^follower = BestResponse: must be Monitored"):
        monitored(game(), MEMBER, state(), jax.random.key(0))


def test_a_policy_of_one_response_has_finite_monitors(key):
    # its rewards do not vary, so that what is measured in them is 0
    follower = Monitored(follower=Gradient(rm_lr=0.01))
    _, trace = run_seed(
        Linear(dimension=4), Leader(Myopic(), policy_lr=0.02), follower, key, steps=2, record=monitored
    )
    assert bool(trace.finite.all())
    assert "disagreement" not in trace.metrics
    np.testing.assert_array_equal(trace.metrics["proxy_growth"], 0.0)
    assert float(trace.metrics["fresh_residual"][-1]) > 0
