"""What a best response keeps of the labels that were paid for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import Labels
from fpo_jax.envs.bandit import Arm, BanditGame
from fpo_jax.followers.buffer import reservoir
from fpo_jax.followers.replayed import Replayed
from fpo_jax.steering import foresighted_value, steering
from fpo_jax.testing.checks import central_difference
from fpo_jax.types import Responses
from tests.helpers import relative_error

N, RIDGE, ALPHA = 8, 0.1, 0.4
QUALITY = np.linspace(0.3, 0.9, 5)
OFFLINE = np.array([0.25, 0.25, 0.25, 0.25, 0.0])
GAME = BanditGame(Arm(jnp.eye(5), jnp.asarray(QUALITY), jnp.zeros(5).at[-1].set(1.0)), 0.02)
ONLY = [jnp.where(jnp.arange(5) == arm, 0.0, -1e3) for arm in range(5)]
"""A policy for each arm that never gives another one."""


def kept(follower, thetas, key):
    """How many items of each arm are kept after updates at these policies, read off φ.

    With one parameter an arm, μ (φ − U) + λ φ = 0 with μ = (1 − α)·offline + α·count / number.
    """
    model = follower.init(GAME, thetas[0], GAME.init(key)[1], key)
    for number, theta in enumerate(thetas[1:]):
        model = jax.jit(follower.update)(GAME, theta, model, jax.random.fold_in(key, number))
    mu = RIDGE * np.asarray(model.phi) / (QUALITY - np.asarray(model.phi))
    share = (mu - (1 - ALPHA) * OFFLINE) / ALPHA
    return share * np.sum(np.asarray(model.memory.buffer.w))


def replayed(keep, updates=20):
    return Replayed(ridge=RIDGE, alpha=ALPHA, keep=keep, updates=updates, feedback=Labels(label_budget=N))


@pytest.mark.parametrize(
    ("keep", "updates", "expected"),
    [
        ("last", 20, [0, 0, N, 0, 0]),
        ("all", 20, [N, N, N, 0, 0]),
        ("all", 2, [0, N, N, 0, 0]),  # the oldest are gone
    ],
)
def test_labels_of_the_last_update_or_of_all_are_kept(keep, updates, expected, key):
    np.testing.assert_allclose(kept(replayed(keep, updates), ONLY[:3], key), expected, atol=1e-9)


def test_a_sample_is_as_large_as_one_update_and_of_all_updates(key):
    # Of 3 · 8 items 8 are kept: of each arm 8/3 on average, the variance of a hypergeometric number
    # 8 · ⅓ · ⅔ · 16/23 = 1.24, hence over 200 keys a standard deviation of √(1.24/200) = .079; five of these.
    counts = jnp.stack([reservoir_of_three(one) for one in jax.random.split(key, 200)])
    np.testing.assert_array_equal(counts.sum(axis=1), N)
    np.testing.assert_allclose(counts.mean(axis=0), N / 3, atol=5 * 0.079)
    found = kept(replayed("sampled"), ONLY[:3], key)
    assert found.sum() == pytest.approx(N)
    np.testing.assert_allclose(found, np.round(found), atol=1e-9)
    assert np.all(found[:2] > 0.5)  # of either earlier update some are left


@jax.jit
def reservoir_of_three(key):
    """How many items of each of three updates a reservoir of one update's size keeps."""
    buffer = Responses(jnp.full(N, -1), jnp.zeros(N))
    for update in range(3):
        fresh = Responses(jnp.full(N, update), jnp.ones(N))
        buffer = reservoir(buffer, fresh, jnp.asarray(N * update), jax.random.fold_in(key, update))
    return jnp.sum(buffer.y[:, None] == jnp.arange(3)[None], axis=0)


@pytest.mark.parametrize("keep", ["last", "sampled", "all"])
def test_an_update_keeps_its_promise(keep, key):
    follower = replayed(keep, 3)
    model = follower.init(GAME, jnp.zeros(5), GAME.init(key)[1], key)
    model = follower.update(GAME, jnp.ones(5), model, jax.random.key(1))
    assert int(model.memory.total) == 2 * N  # of the first policy and of this one
    # whatever is drawn next: rounding of a system of condition below 10
    assert follower.residual(GAME, jnp.ones(5), model, jax.random.key(2)) < 1e-13


def test_steering_through_the_labels_is_the_gradient_of_what_they_teach(key):
    # Without a budget the items carry the policy's weights, and F is smooth in θ: of its central difference
    # of step h the error is of the order h², below that of rounding.
    follower = Replayed(ridge=RIDGE, alpha=ALPHA, keep="all", updates=3)
    theta = jnp.arange(5.0)
    model = follower.init(GAME, theta, GAME.init(key)[1], key)

    def value(t):
        return foresighted_value(GAME, follower, t, model, key)

    found = jax.jit(lambda: (steering(GAME, follower, theta, model, key), central_difference(value, theta)))()
    assert np.linalg.norm(found[0].steering) > 1e-3  # there is something to be wrong about
    assert relative_error(found[0].gradient, found[1]) < 1e-7


def test_without_a_budget_all_responses_are_kept_by_their_weights(key):
    # after updates at two policies besides the first, each weighs a third
    follower = Replayed(ridge=RIDGE, alpha=ALPHA)
    thetas = [jnp.zeros(5), jnp.arange(5.0), -jnp.arange(5.0)]
    share = kept(follower, thetas, key) / 15
    np.testing.assert_allclose(share, np.mean(jax.vmap(jax.nn.softmax)(jnp.stack(thetas)), axis=0), atol=1e-9)
