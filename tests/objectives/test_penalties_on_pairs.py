"""Penalties where the follower learns from preferences, against formulas for pairs written out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from scipy.optimize import brentq
from scipy.special import expit

from fpo_jax import (
    Exact,
    Gradient,
    Labels,
    Myopic,
    Practical,
    Preferences,
    Proximal,
    Relaxed,
    RewardModel,
    Tracin,
)
from fpo_jax.objectives.penalties import Fpo
from fpo_jax.steering import foresight_keys, norm
from tests.helpers import ONE_PAIR, AgainstReference, pairs_by_hand


@pytest.mark.parametrize("opponent", ["policy", "reference"])
def test_relaxed_and_practical_are_the_published_formulas_for_pairs(opponent, contextual_state, key):
    # J − weight · E[(p_φ − p*) ⟨∇r(y), ∇r(y) − ∇r(y')⟩], and with 1 in place of p_φ − p*; ∇r = ψ.
    game, theta, model = contextual_state
    follower = Gradient(feedback=Preferences(opponent=opponent))
    w, psi, other, p = pairs_by_hand(game, theta, opponent)
    inner = np.sum(psi * (psi - other), axis=1)
    residual = expit((psi - other) @ np.asarray(model.phi)) - p
    value = w @ (psi @ np.asarray(model.phi)) - float(game.cost(theta, game.respond(theta, key)))
    for objective, penalty in ((Relaxed(weight=0.7), residual * inner), (Practical(weight=0.7), inner)):
        ours = objective.value(game, follower, theta, model, key)
        np.testing.assert_allclose(ours, value - 0.7 * w @ penalty, rtol=1e-12)
    mean = w @ psi  # ḡ: TracIn has it in place of ∇r(y)
    expected = value - 0.7 * w @ (residual * ((psi - other) @ mean))
    # J's own gradient by φ is ḡ, since the cost does not depend on φ
    np.testing.assert_allclose(
        Tracin(weight=0.7).value(game, follower, theta, model, key), expected, rtol=1e-12
    )


def test_one_step_on_one_pair_makes_exact_equal_relaxed_at_the_learning_rate(key):
    # φ⁺ = φ − lr (p_φ − p*)(y − y') and J = φ·y − cost: F = J − lr (p_φ − p*) ⟨y, y − y'⟩, term by term.
    feedback = Preferences(opponent="reference")
    follower = Gradient(rm_lr=0.05, feedback=feedback)
    theta, phi = jax.random.normal(key, (2, 4))
    assert follower.calibrated_weight(1) == 0.05
    objectives = (
        Exact(),
        Relaxed(weight=0.05),
        Exact(utility="detached"),
        Relaxed(weight=0.05, utility="detached"),
    )
    gradients = jax.jit(
        lambda: [o.estimate(ONE_PAIR, follower, theta, RewardModel(phi), key).gradient for o in objectives]
    )()
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-12)
    np.testing.assert_allclose(gradients[2], gradients[3], rtol=1e-12)
    assert norm(gradients[0] - gradients[2]) > 1e-4


def test_the_proximal_penalty_tends_to_the_relaxed_one(contextual_state, key):
    game, theta, model = contextual_state
    follower = Gradient(feedback=Preferences())

    def penalty(objective):
        free = objective.replace(weight=0.0).value(game, follower, theta, model, key)
        return (free - objective.value(game, follower, theta, model, key)) / objective.weight

    np.testing.assert_allclose(penalty(Proximal(weight=1e-7)), penalty(Relaxed(weight=1e-7)), rtol=1e-5)
    assert abs(penalty(Proximal(weight=100.0))) < 0.1 * abs(penalty(Relaxed(weight=100.0)))


def test_the_proximal_penalty_on_pairs_by_hand(contextual_state, key):
    # J − κ E[(σ(x) − p*) ⟨ψ, ψ − ψ'⟩] with x + κ ‖ψ − ψ'‖² (σ(x) − p*) = m: the step moves the margin.
    game, theta, model = contextual_state
    kappa = 4.0
    w, psi, other, p = pairs_by_hand(game, theta, "policy")
    margin, moves = (psi - other) @ np.asarray(model.phi), kappa * np.sum((psi - other) ** 2, axis=1)
    after = [
        brentq(lambda x, at=at: x + at[2] * (expit(x) - at[1]) - at[0], -2000, 2000, xtol=1e-14)
        for at in zip(margin, p, moves, strict=True)
    ]
    penalty = (expit(after) - p) * np.sum(psi * (psi - other), axis=1)
    value = w @ (psi @ np.asarray(model.phi)) - float(game.cost(theta, game.respond(theta, key)))
    follower = Gradient(feedback=Preferences())
    found = Proximal(weight=kappa).value(game, follower, theta, model, key)
    np.testing.assert_allclose(found, value - kappa * w @ penalty, rtol=1e-11)


def test_fpo_with_part_of_an_oracle_by_hand_on_labels_and_on_preferences(contextual_state, key):
    # J − 0.7 E[(1 − o + o · residual) · influence], o = 0.3
    game, theta, model = contextual_state
    phi, psi_all = np.asarray(model.phi), np.asarray(game.candidates.features).reshape(6, 3)
    w, psi, other, p = pairs_by_hand(game, theta, "policy")
    every = np.asarray(game.respond(theta, key).w)
    utility = np.asarray(game.candidates.quality).ravel()
    residuals = {
        "labels": (every, psi_all @ phi - utility, np.sum(psi_all**2, axis=1)),
        "preferences": (w, expit((psi - other) @ phi) - p, np.sum(psi * (psi - other), axis=1)),
    }
    value = every @ psi_all @ phi - float(game.cost(theta, game.respond(theta, key)))
    for feedback in (Labels(), Preferences()):
        weights, residual, influence = residuals[type(feedback).__name__.lower()]
        penalty = weights @ ((0.7 + 0.3 * residual) * influence)
        found = Fpo(weight=0.7, oracle=0.3).value(game, Gradient(feedback=feedback), theta, model, key)
        np.testing.assert_allclose(found, value - 0.7 * penalty, rtol=1e-12)


HARD_PAIR = Preferences(labels="hard", opponent="reference")


def test_a_drawn_label_leaves_alone_what_does_not_depend_on_it(key):
    # The label's score multiplies its residual only. So weight 0 is RLHF, practical FPO does not know U, and
    # relaxed FPO differs by −weight · (p_φ − label) ⟨∇r, ∇m⟩, whose gradient has the score as a factor:
    # with P = 1[label] p* + (1 − 1[label]) (1 − p*), d log P/dy = ± p*(1 − p*)/P · ∇U / T.
    theta, phi = jax.random.normal(key, (2, 4))
    follower, model = Gradient(feedback=HARD_PAIR), RewardModel(phi)

    def gradient(objective, game=ONE_PAIR, key=key):
        return objective.estimate(game, follower, theta, model, key).gradient

    np.testing.assert_allclose(gradient(Relaxed(weight=0.0)), gradient(Myopic()), rtol=1e-14)
    np.testing.assert_allclose(gradient(Fpo(weight=0.0)), gradient(Myopic()), rtol=1e-14)
    np.testing.assert_allclose(gradient(Proximal(weight=0.0)), gradient(Myopic()), rtol=1e-14)
    # practical: −weight ∇⟨y, y − y'⟩ = −weight (2y − y'), whatever U is
    expected = gradient(Myopic()) - 0.2 * (2 * theta - 0.5)
    np.testing.assert_allclose(gradient(Practical(weight=0.2)), expected, rtol=1e-12)
    # relaxed, by the product rule
    y, other = np.asarray(theta), np.full(4, 0.5)
    u, v = (float(ONE_PAIR.utility(jnp.array(side))) for side in (y, other))
    slope = -2 * 0.3 * u * (y - np.asarray(ONE_PAIR.ideal))
    p = expit((u - v) / 0.25)
    items = HARD_PAIR.gather(ONE_PAIR, theta, ONE_PAIR.respond(theta, key), foresight_keys(key).data)
    said = float(items.y.preferred[0])
    score = (1.0 if said else -1.0) * p * (1 - p) / (p if said else 1 - p) * slope / 0.25
    s = expit(np.asarray(phi) @ (y - other))
    inner, residual = y @ (y - other), s - said
    penalty = s * (1 - s) * np.asarray(phi) * inner + residual * (2 * y - other) + score * residual * inner
    np.testing.assert_allclose(gradient(Relaxed(weight=0.2)), gradient(Myopic()) - 0.2 * penalty, rtol=1e-10)


@struct.dataclass
class Spotted(AgainstReference):
    """With a blind spot that moves with the response, of which the annotator is fond."""

    def blind_spot(self, y):
        return jnp.tanh(jnp.sum(y**2))


def test_by_value_nothing_of_the_residual_is_differentiated_not_even_the_labels_score(key):
    # relaxed less RLHF is −weight · residual · ∇influence, one number times (2y − y')
    theta, phi = jax.random.normal(key, (2, 4))
    follower = Gradient(feedback=HARD_PAIR.replace(blind_spot_bias=2.0))
    relaxed, myopic = (
        o.estimate(Spotted(dimension=4), follower, theta, RewardModel(phi), key).gradient
        for o in (Relaxed(weight=0.2, utility="value"), Myopic())
    )
    ratio = np.asarray(relaxed - myopic) / np.asarray(2 * theta - 0.5)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-10)
