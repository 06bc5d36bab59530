"""Reward shaping: its limits, its slope at the baseline, its bounds, and whose reward the baseline is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from fpo_jax import BestResponse, Leader, Myopic, run_seed
from fpo_jax.envs.linear import Linear
from fpo_jax.objectives import Shaped
from tests.helpers import CONTEXTUAL, SMALL, at_random, require_named

FOLLOWER = BestResponse(ridge=0.1, alpha=0.3)


@pytest.mark.parametrize("form", ["sigmoid", "clip"])
def test_what_is_paid_by_hand(form):
    # 4/k (σ(k g) − ½) or g held to ±1/k, beside the baseline ½
    gains = np.array([-3.0, -0.1, 0.0, 1e-9, 0.2, 5.0])
    for k in (1e-8, 0.5, 4.0):
        expected = {"sigmoid": 4.0 / k * (expit(k * gains) - 0.5), "clip": np.clip(gains, -1.0 / k, 1.0 / k)}
        objective = Shaped(weight=k, form=form)
        paid = np.array([objective.paid(jnp.asarray(0.5 + g), jnp.asarray(0.5)) for g in gains])
        # σ(x) − ½ cancels, the test's own way: its error is eps / k
        np.testing.assert_allclose(paid - 0.5, expected[form], atol=1e-15 + 1e-15 / k, rtol=1e-13)
        slope = jax.grad(objective.paid)(jnp.asarray(0.5), jnp.asarray(0.5))
        np.testing.assert_allclose(slope, 1.0, rtol=1e-15)


def test_it_tends_to_the_reward_as_the_square_of_its_sharpness():
    # (2/k) tanh(k g / 2) = g − k² g³/12 + …
    def short(k):
        return 1.5 - float(Shaped(weight=k).paid(jnp.asarray(1.5), jnp.asarray(0.0)))

    np.testing.assert_allclose(short(1e-2), 1e-4 * 1.5**3 / 12.0, rtol=1e-3)
    np.testing.assert_allclose(short(1e-2) / short(1e-3), 100.0, rtol=1e-2)


@pytest.mark.parametrize("form", ["sigmoid", "clip"])
def test_weight_0_is_myopic(form, key):
    game, theta, model = at_random(CONTEXTUAL, FOLLOWER, key)
    objectives = (Shaped(weight=0.0, form=form), Myopic())
    assert len({float(o.value(game, FOLLOWER, theta, model, key)) for o in objectives}) == 1
    # to rounding: XLA adds the same numbers in another order
    gradients = [o.estimate(game, FOLLOWER, theta, model, key).gradient for o in objectives]
    np.testing.assert_allclose(*gradients, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("to", ["start", "reference"])
def test_the_baseline_is_the_other_policys_mean_reward_at_the_same_prompt(to, key):
    game, theta, model = at_random(CONTEXTUAL, FOLLOWER, key)
    start = 0.4 * jax.random.normal(key, theta.shape)
    rewards = np.asarray(game.candidates.features) @ np.asarray(model.phi)
    reference = np.asarray(game.log_reference) + (np.asarray(start) if to == "start" else 0.0)
    other = np.exp(reference) / np.sum(np.exp(reference), axis=1, keepdims=True)
    gain = rewards - np.sum(other * rewards, axis=1, keepdims=True)
    w = np.asarray(game.respond(theta, key).w).reshape(rewards.shape)
    paid = rewards - gain + 4.0 / 3.0 * (expit(3.0 * gain) - 0.5)
    objective = Shaped(weight=3.0, to=to).held_to(start[None])
    found = objective.value(game, FOLLOWER, theta, model, key)
    np.testing.assert_allclose(
        found, np.sum(w * paid) - game.cost(theta, game.respond(theta, key)), rtol=1e-12
    )


def test_the_baseline_is_held_fixed_and_one_response_will_do(key):
    # one response y, held to y₀: ∂/∂y of (2/k) tanh(k (φ·y − φ·y₀)/2) is φ / cosh², less 0.2 y of the cost
    game, y, model = at_random(Linear(dimension=3), FOLLOWER.replace(anchored=True), key)
    start = jnp.array([0.1, -0.2, 0.3])
    objective = Shaped(weight=2.0).held_to(start[None])
    found = objective.estimate(game, FOLLOWER, y, model, key).gradient
    gain = float(model.phi @ (y - start))
    np.testing.assert_allclose(found, model.phi / np.cosh(gain) ** 2 - 0.2 * y, rtol=1e-12)


def test_a_reference_that_is_not_there_is_refused(key):
    said = "to = reference: must be start or earlier, because this environment has no reference policy"
    leader = Leader(Shaped(to="reference"))
    follower = FOLLOWER.replace(anchored=True)
    require_named(said, lambda: run_seed(Linear(dimension=3), leader, follower, key, steps=1))


def test_a_reference_without_a_bit_of_some_response_will_do(key):
    # the bandit's reference is its offline data, which lack the planted arms: a mean reward all the same
    game, _, model = at_random(SMALL["bandit"], FOLLOWER, key)
    w = np.asarray(game.offline().w)
    rewards = np.asarray(game.arms.features) @ np.asarray(model.phi)
    found = Shaped(to="reference").baselines(game, model.phi, game.reference())
    np.testing.assert_allclose(found, [w @ rewards], rtol=1e-14)
