"""The weights at which each member of an ensemble meets the same items."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import BestResponse, Labels
from fpo_jax.envs.bandit import Arm, BanditGame
from fpo_jax.envs.linear import Linear
from fpo_jax.followers import Ensemble, Optax
from fpo_jax.followers.resampled import Resampled

ACTION = Linear(dimension=4)


def one_hot(number):
    """A bandit whose reward model is a table, offline data uniform on all but the last arm."""
    planted = jnp.zeros(number).at[-1].set(1.0)
    return BanditGame(Arm(jnp.eye(number), jnp.linspace(0.3, 0.9, number), planted), 0.02)


def test_a_response_has_the_same_multiplier_at_every_update_and_in_the_offline_data(key):
    # With one parameter an arm, c μ (φ − U) + λ φ = 0, so that c = λ φ / (μ (U − φ)) can be read off φ.
    game, ridge = one_hot(4), 0.1
    follower = Ensemble(members=2, member=BestResponse(ridge=ridge, alpha=0.5))

    def read(phi, mu):
        u = np.asarray(game.arms.quality)
        return ridge * np.asarray(phi) / (mu * (u - np.asarray(phi)))

    faced = follower.faced(game)
    theta, phi = faced.init(key)
    model = jax.jit(follower.init)(faced, theta, phi, key)
    offline = np.array([1.0, 1.0, 1.0, 0.0]) / 3
    first = read(model.phi, 0.5 * offline + 0.5 * np.full(4, 0.25))
    assert np.all(np.abs(first[0] - first[1]) > 1e-3)  # each member has its own
    other = jnp.array([1.0, -0.5, 0.3, 0.8])
    later = jax.jit(follower.update)(faced, other, model, jax.random.key(11))
    again = read(later.phi, 0.5 * offline + 0.5 * np.asarray(jax.nn.softmax(other)))
    np.testing.assert_allclose(again, first, rtol=1e-9)
    assert jax.jit(follower.residual)(faced, other, later, jax.random.key(11)) < 1e-12


def test_multipliers_are_a_bayesian_bootstrap(key):
    # Exp(1): mean 1, variance 1, P(c > 1) = 1/e. Of 1000 runs · 4 members · 4 arms the mean has a standard
    # deviation of 1/√16000 = .0079, the variance of √(8/16000) = .0224, the share of √(.368 · .632/16000) =
    # .0038; five of each.
    game, ridge = one_hot(4), 0.1
    follower = Ensemble(members=4, member=BestResponse(ridge=ridge, alpha=1.0))
    faced = follower.faced(game)
    theta, phi = faced.init(key)
    keys = jax.random.split(key, 1000)
    found = jax.jit(jax.vmap(lambda k: follower.init(faced, theta, phi, k).phi))(keys)
    c = ridge * np.asarray(found) / (0.25 * (np.asarray(game.arms.quality) - np.asarray(found)))
    assert abs(c.mean() - 1.0) < 5 * 0.0079
    assert abs(c.var() - 1.0) < 5 * 0.0224
    assert abs((c > 1.0).mean() - np.exp(-1.0)) < 5 * 0.0038


@pytest.mark.slow
def test_where_responses_are_not_fixed_an_update_draws_its_multipliers(key):
    # A step at one action y moves a member by −lr · c · 2 (r − U) y: with the same φ₀, by its multiplier.
    follower = Ensemble(members=2, member=Optax(optimizer="sgd", rm_lr=0.01, draws=3, buffer_size=3))
    game = follower.faced(ACTION)
    theta = jnp.ones(4)
    model = follower.init(game, theta, game.init(key)[1], key)
    np.testing.assert_array_equal(model.phi[0], model.phi[1])

    def moves(update_key):
        return np.linalg.norm(follower.update(game, theta, model, update_key).phi - model.phi, axis=1)

    first, second = moves(key), moves(jax.random.key(1))
    assert abs(first[0] / first[1] - 1.0) > 1e-3
    assert abs(first[0] / second[0] - 1.0) > 1e-3


def test_what_is_annotated_is_the_same_for_every_member(key):
    # Of four arms that one draw of 50 shows 10, each member has the same arms, at weights of its own.
    game = one_hot(4)
    responses = game.respond(jnp.zeros(4), key)
    words = jax.random.key_data(key)

    def items(member, budget):
        feedback = Resampled(Labels(label_budget=budget), words, jnp.asarray(member))
        return feedback.gather(game, jnp.zeros(4), responses, key)

    first, second = items(0, 10), items(1, 10)
    np.testing.assert_array_equal(first.y.features, second.y.features)
    assert np.all(np.abs(first.w - second.w) > 1e-6)
    # and an arm that is drawn has the multiplier that it has where all are annotated
    every = items(0, None).w / 0.25
    arm = np.argmax(np.asarray(first.y.features), axis=1)
    np.testing.assert_allclose(first.w * 10, np.asarray(every)[arm], rtol=1e-12)
