"""The effective reward: it is U at a best response, and counts the present policy's share of the data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from fpo_jax import BestResponse, Exact, Labels, Preferences, RewardModel
from fpo_jax.envs.bandit import Bandit, BanditGame
from fpo_jax.envs.contextual import Contextual
from fpo_jax.envs.parts.contextual_game import ContextualGame
from fpo_jax.expect import follower_loss, training_data
from fpo_jax.followers import Optax
from fpo_jax.objectives import EffectiveReward, Implicit
from fpo_jax.objectives.effective_reward import policy_share
from fpo_jax.steering import foresight_keys, norm
from tests.helpers import CASES

BUFFERS = {  # share of the present policy's draws in the loss
    "fresh": (Optax(alpha=0.3, draws=2), 0.3),
    "two draws in five": (Optax(alpha=0.3, draws=2, buffer_size=5, replay="fifo"), 0.3 * 2 / 5),
    "an anchor": (Optax(alpha=0.3, draws=2, buffer_size=5, replay="mixed"), 0.3 * 2 / 5),
    "no offline data": (Optax(draws=5, buffer_size=50, replay="fifo"), 5 / 15),  # after two updates of five
    "a best response": (BestResponse(ridge=0.1, alpha=0.3), 0.3),
}


@pytest.mark.parametrize("feedback", [Labels(), Preferences()], ids=["labels", "preferences"])
@pytest.mark.parametrize("case", BUFFERS)
def test_the_effective_reward_counts_what_the_present_policy_has_in_the_data(case, feedback, key):
    follower, share = BUFFERS[case]
    if feedback != Labels() and case in ("fresh", "an anchor"):
        pytest.skip("the same code on fewer draws")
    follower = follower.replace(feedback=feedback)

    @jax.jit
    def found():
        game = Contextual(prompts=2, trapped=1, ordinary=2, traps=1, topics=0).draw(key)
        game = game if case != "no offline data" else WithoutData(**vars(game))
        theta, phi = game.init(key)
        theta = theta + 0.5 * jax.random.normal(key, theta.shape)
        model = follower.init(game, theta, phi, key)
        for update_key in jax.random.split(key, 2):
            model = follower.update(game, theta + 0.3, model, update_key)
        arguments = game, follower, theta, model, key
        routes = EffectiveReward(damping=1.0), Implicit(damping=1.0)
        corrections = [
            r.estimate(*arguments).gradient - Implicit(damping=1.0).decompose(*arguments)[0].standard
            for r in routes
        ]
        return policy_share(follower, game, theta, model, foresight_keys(key).data), corrections

    counted, (effective, implicit) = found()
    np.testing.assert_allclose(counted, share, rtol=1e-12)
    np.testing.assert_allclose(effective, implicit, atol=1e-12)
    assert norm(implicit) > 1e-4  # else the equality would say nothing about the share


@struct.dataclass
class WithoutData(ContextualGame):
    def offline(self):
        return None


def test_the_share_of_an_accumulated_buffer_is_that_of_the_draws_it_took(key):
    # Of 2 draws those stay that the reservoir of 3 places takes, after 4 earlier ones: 0, 1 or 2 thirds.
    follower = Optax(draws=2, buffer_size=3, replay="accumulate")
    game = Bandit(ordinary=3, planted=1).draw(key)
    theta, phi = game.init(key)
    model = follower.init(game, theta, phi, key)
    for update_key in jax.random.split(key, 2):
        model = follower.update(game, theta + 1.0, model, update_key)
    share = jax.jit(lambda k: policy_share(follower, game, theta, model, k))
    after = jax.jit(lambda k: follower.update(game, theta, model, k).memory.buffer.w)
    held = jax.jit(lambda k: follower.update(game, 5.0 * game.arms.quality, model, k).memory.buffer.w)
    shares = []
    for k in jax.random.split(key, 12):
        taken = np.sum(np.any(np.asarray(after(k)) != np.asarray(held(k)), axis=1))  # of two policies
        np.testing.assert_allclose(share(k), taken / 3, atol=1e-12)
        shares.append(taken)
    assert len(set(shares)) > 1


@struct.dataclass
class ByQuality(BestResponse):
    """Weights its data by what they are."""

    normalised: bool = struct.field(pytree_node=False, default=False)
    forgetful: bool = struct.field(pytree_node=False, default=False)

    def loss(self, game, theta, reward_model, key):
        feedback = Labels() if self.forgetful else self.feedback
        data = training_data(game, theta, self.alpha, key, feedback)
        weights = data.w * (0.5 + jnp.tile(game.arms.quality, 2))
        if self.normalised:
            weights = data.w / jnp.sum(data.w)
        data = data._replace(w=weights)
        return lambda phi: follower_loss(game, phi, data, feedback) + self.ridge * jnp.sum(phi**2)


@pytest.mark.parametrize("how", [{}, {"normalised": True}, {"forgetful": True}])
def test_a_follower_that_weights_its_data_otherwise_has_no_effective_reward(how, key):
    # The share depends on the policy, twice its weights do not add the share again, or the loss is not made
    # of what the follower's feedback gathers.
    game = Bandit(ordinary=5, planted=2).draw(key)
    theta, model = jax.random.normal(key, (7,)), RewardModel(jnp.zeros(2), jnp.zeros(2))
    follower = ByQuality(ridge=0.1, alpha=0.3, **how)
    arguments = game, follower, theta, model, key
    assert np.all(np.isnan(EffectiveReward().estimate(*arguments).gradient))
    exact, implicit = (o.estimate(*arguments).gradient for o in (Exact(), Implicit()))
    np.testing.assert_allclose(implicit, exact, rtol=1e-9)  # which asks for nothing of the kind


class ByClass(BestResponse):
    """Its feedback is one for all, and no field."""

    feedback = Labels()


def test_feedback_that_is_no_field_is_counted_as_well(key):
    game = Bandit(ordinary=5, planted=2).draw(key)
    theta, model = jax.random.normal(key, (7,)), RewardModel(jnp.zeros(2), jnp.zeros(2))
    follower = struct.dataclass(type("Own", (ByClass,), {"__annotations__": {}}))(ridge=0.1, alpha=0.3)
    arguments = game, follower, theta, model, key
    effective, exact = (route.estimate(*arguments).gradient for route in (EffectiveReward(), Exact()))
    np.testing.assert_allclose(effective, exact, atol=1e-12)
    assert follower.feedback == Labels()  # which is as it was


def test_the_effective_reward_is_the_utility_at_an_unregularised_best_response(key):
    # Features that span the constant, on-policy data, no ridge: the normal equations give E[r_φ*] = E[U], so
    # F = E_π[U] − cost for every θ, and r̃ = U at every response.
    make, _ = CASES["bandit"]
    game = make(key)
    with_constant = jnp.concatenate([game.arms.features, jnp.ones((7, 1))], axis=1)
    game = game.replace(arms=game.arms._replace(features=with_constant))
    follower = BestResponse(ridge=0.0, alpha=1.0)
    theta = jax.random.normal(key, (7,))
    model = RewardModel(jnp.zeros(3), memory=jnp.zeros(3))
    ladder = struct.dataclass(type("OnPolicy", (BanditGame,), {"offline": lambda self: None}))
    game = ladder(game.arms, game.temperature)
    effective, _ = EffectiveReward().reward(game, follower, theta, model, key)
    np.testing.assert_allclose(jax.vmap(effective)(game.arms), game.arms.quality, atol=1e-10)
    true_gradient = jax.grad(
        lambda t: jnp.sum(jax.nn.softmax(t) * game.arms.quality) - game.cost(t, game.respond(t, key))
    )(theta)
    for route in (EffectiveReward(), Implicit(), Exact()):
        estimate = route.estimate(game, follower, theta, model, key).gradient
        np.testing.assert_allclose(estimate, true_gradient, atol=1e-10)
