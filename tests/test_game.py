"""What a game has by default: made of the methods that it must give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.linear import Linear
from fpo_jax.envs.neural import Neural
from fpo_jax.errors import InputError
from fpo_jax.types import Game


def test_the_default_kernel_and_norm_are_inner_products_of_gradients(key):
    game = Linear(dimension=3)  # r = w·y, so that ∇_w r = y
    w, y, other = jnp.array([1.0, 2.0, -1.0]), jnp.array([0.5, 0.1, 0.2]), jnp.array([3.0, -1.0, 2.0])
    reward, norm = Game.reward_and_norm(game, w, y)
    np.testing.assert_allclose([reward, norm], [0.5, 0.30], rtol=1e-12)  # .5 + .2 − .2; .25 + .01 + .04
    np.testing.assert_allclose(Game.tangent_kernel(game, w, y, other), 1.8, rtol=1e-12)  # 1.5 − .1 + .4


def test_samples_are_independent(key):
    game = Neural(dimension=2)
    samples = game.sample(jnp.zeros(2), key, 3)
    assert samples.w.shape == (3, 1)
    assert len({tuple(row) for row in np.asarray(samples.y).reshape(3, -1)}) == 3


def test_pairs_have_the_policys_responses_first(key):
    game = Bandit(ordinary=2, planted=1).draw(key)
    theta = jnp.array([0.0, 1.0, -0.5])
    responses, pi = game.respond(theta, key), np.asarray(jax.nn.softmax(jnp.array([0.0, 1.0, -0.5])))
    reference = np.asarray(game.reference().w)
    for opponent, other in (("policy", pi), ("reference", reference)):
        pairs = game.compare(theta, responses, opponent, key)
        first, second = (np.asarray(side.features) for side in pairs.y)
        features = np.asarray(game.arms.features)
        joint = np.array(
            [
                [
                    np.sum(pairs.w, where=np.all(first == a, axis=1) & np.all(second == b, axis=1))
                    for b in features
                ]
                for a in features
            ]
        )
        np.testing.assert_allclose(joint, np.outer(pi, other), atol=1e-12)


def test_what_a_game_does_not_have_is_refused(key):
    game = Linear(dimension=2)
    theta, _ = game.init(key)
    with pytest.raises(InputError, match="opponent = reference: must be policy"):
        game.compare(theta, game.respond(theta, key), "reference", key)
    with pytest.raises(InputError, match="oracle = Linear: must be an environment that draws"):
        game.luck(jnp.zeros(2))
