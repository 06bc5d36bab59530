"""The weight at which penalty and reward have the same spread."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from fpo_jax.errors import InputError
from fpo_jax.experiments.llm.calibration import calibrated_weight
from fpo_jax.experiments.llm.fitting import Answers
from fpo_jax.experiments.llm.scoring import Curvature
from fpo_jax.experiments.llm.settings import TrainSettings

P, N, D = 3, 5, 4
DAMPING = 0.5


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    features, utilities = rng.normal(size=(P, N, D)), rng.normal(size=(P, N))
    root = rng.normal(size=(D, D))
    return features, utilities, 0.2 * rng.normal(size=D), root @ root.T, 7.0


def penalties(features, utilities, phi, total, pairs, mode, weight):
    """The penalty of every candidate, [p, n]: the formulas of docs/howto/llm.md; the last answer is z_ref."""
    h, ref = features[:, :-1], features[:, -1:]
    if mode == "leverage":
        inverse = np.linalg.inv(total / pairs + DAMPING * np.eye(D))
        return weight * np.einsum("pnd,de,pne->pn", h, inverse, h - ref)
    own = np.einsum("pnd,pnd->pn", h, h - ref)
    if mode == "practical":
        return weight * own
    slope, target = h - ref, expit(utilities[:, :-1] - utilities[:, -1:])
    margin, size = slope @ phi, np.einsum("pnd,pnd->pn", slope, slope)
    if mode == "proximal":  # the margin after the implicit step: m⁺ = m − κ ‖∇m‖² (σ(m⁺) − p*), by bisection
        low, high = margin - weight * size, margin + weight * size
        for _ in range(200):
            middle = (low + high) / 2
            above = middle - margin + weight * size * (expit(middle) - target) > 0
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return weight * (expit(low) - target) * own
    return weight * (expit(margin) - target) * own


@pytest.mark.parametrize("mode", ["practical", "relaxed", "proximal", "leverage"])
def test_penalty_and_reward_have_the_same_spread(drawn, mode):
    features, utilities, phi, total, pairs = drawn
    answers = Answers(*map(jnp.asarray, (features, utilities, np.zeros((P, N, 2), np.int32))))
    weight = calibrated_weight(
        answers, jnp.asarray(phi), Curvature(jnp.asarray(total), jnp.asarray(pairs)), mode, DAMPING
    )
    rounded = [np.asarray(each, np.float32).astype(float) for each in (features, utilities, phi, total)]
    penalty = penalties(*rounded, pairs, mode, weight)
    reward = rounded[0][:, :-1] @ rounded[2]
    assert penalty.std(axis=1).mean() == pytest.approx(reward.std(axis=1).mean(), rel=1e-5)


def test_a_penalty_that_cannot_spread_so_far_is_refused(drawn):
    features, utilities, phi, total, pairs = drawn
    features = np.zeros((P, N, D))  # neither spreads at all
    answers = Answers(*map(jnp.asarray, (features, utilities, np.zeros((P, N, 2), np.int32))))
    curvature = Curvature(jnp.asarray(total), jnp.asarray(pairs))
    with pytest.raises(InputError, match="no weight from 1e-06 to 1e\\+06 gives the practical penalty"):
        calibrated_weight(answers, jnp.asarray(phi), curvature, "practical", DAMPING)


def test_it_needs_answers():
    with pytest.raises(InputError, match="calibrated = True: must be given together with --fit-prompts"):
        TrainSettings.of({"model": "m", "calibrated": True})
