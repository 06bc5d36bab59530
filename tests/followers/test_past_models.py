"""A leader that is paid by the reward models of several updates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import BestResponse
from fpo_jax.envs.bandit import Bandit
from fpo_jax.errors import InputError
from fpo_jax.followers import Ensemble, PastModels
from fpo_jax.hyperparameters import validate
from fpo_jax.steering import foresighted_value, steering
from fpo_jax.testing.checks import central_difference
from tests.helpers import draw, relative_error

MEMBER = BestResponse(ridge=0.1, alpha=0.3)


def after(follower, updates, key):
    """The game as it is faced, the policies of so many updates, and the reward model then."""
    game = follower.faced(draw(Bandit(ordinary=5, planted=2), key))
    thetas = [jnp.sin(jnp.arange(7.0) + number) for number in range(updates + 1)]
    model = follower.init(game, thetas[0], game.init(key)[1], key)
    for theta in thetas[1:]:
        model = follower.update(game, theta, model, key)
    return game, thetas, model


@pytest.mark.parametrize(("combine", "made"), [("mean", np.mean), ("worst", np.min)])
def test_the_reward_is_that_of_the_last_models(combine, made, key):
    game, thetas, model = after(PastModels(members=3, combine=combine, member=MEMBER), 4, key)
    own = game.game
    each = [MEMBER.init(own, theta, own.init(key)[1], key).phi for theta in thetas[-3:]]
    np.testing.assert_allclose(model.phi, np.stack(each), rtol=1e-9)
    arms = game.respond(thetas[0], key).y
    rewards = np.asarray(own.arms.features) @ np.stack(each).T
    found = jax.vmap(lambda y: game.reward(model.phi, y))(arms)
    np.testing.assert_allclose(found, made(rewards, axis=1), rtol=1e-9)


def test_the_first_stands_for_those_that_are_not_yet_there(key):
    game, thetas, model = after(PastModels(members=3, member=MEMBER), 1, key)
    first, second = (MEMBER.init(game.game, t, game.game.init(key)[1], key).phi for t in thetas)
    np.testing.assert_allclose(model.phi, np.stack([first, first, second]), rtol=1e-9)


@pytest.mark.parametrize("combine", ["mean", pytest.param("worst", marks=pytest.mark.slow)])
def test_standard_plus_steering_is_the_gradient_of_F(combine, key):
    follower = PastModels(members=3, combine=combine, member=MEMBER)

    @jax.jit
    def both():
        game, thetas, model = after(follower, 2, key)
        difference = central_difference(lambda t: foresighted_value(game, follower, t, model, key), thetas[0])
        return steering(game, follower, thetas[0], model, key).gradient, difference

    assert relative_error(*both()) < 1e-7


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match=r"^member = ensemble"):
        validate(PastModels(member=Ensemble()))
    with pytest.raises(InputError, match=r"^differ = start: must be data: the members are one reward model"):
        validate(PastModels(differ="start"))
