"""The limit of infinitely many updates: what it is, and when there is none."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.flatten_util import ravel_pytree

from fpo_jax import BestResponse, Exact, Gradient, Leader, Limit, RewardModel, outcome, run_seeds, seed_keys
from fpo_jax.envs.bandit import Bandit, BanditGame
from fpo_jax.envs.linear import Linear
from fpo_jax.expect import follower_loss, training_data


def test_a_best_response_is_its_own_limit_with_its_own_anchor(key):
    # F at the limit is F: one update is infinitely many, and the anchor stays φ₀ rather than the present φ.
    follower = BestResponse(ridge=0.1, alpha=0.3, anchored=True)
    leaders = [Leader(objective, policy_lr=1.0) for objective in (Exact(), Limit())]

    def ends(leader):
        traces = run_seeds(Anchored(), leader, follower, seed_keys(2), steps=40, record=outcome)[1]
        return traces.metrics["true_utility"]

    np.testing.assert_allclose(*map(ends, leaders), rtol=1e-10)


@struct.dataclass
class Anchored(Bandit):
    """The bandit whose reward model begins at 1, so that its anchor is not the default one."""

    def draw(self, key):
        return FromOnes(**vars(Bandit().draw(key)))


@struct.dataclass
class FromOnes(BanditGame):
    def init(self, key):
        theta, phi = BanditGame.init(self, key)
        return theta, phi + 1.0


def test_a_limit_that_is_not_reached_is_not_a_number(key):
    # steps of lr > 2/κ diverge; where r is not affine in φ one Newton step ends at no stationary point
    game = Bandit(ordinary=5, planted=2).draw(key)
    theta, here = jax.random.normal(key, (7,)), RewardModel(jnp.array([0.3, -0.7]))

    def limit(rm_lr, game=game, theta=theta, here=here, alpha=0.3):
        follower = Gradient(rm_lr=rm_lr, weight_decay=1e-3, alpha=alpha)
        return ravel_pytree(follower.limit(game, theta, here, key).phi)[0]

    hessian = jax.hessian(lambda p: follower_loss(game, p, training_data(game, theta, 0.3, key)))(here.phi)
    fastest = 2.0 / float(np.linalg.eigvalsh(hessian)[-1])
    assert np.all(np.isfinite(limit(0.9 * fastest)))
    assert np.all(np.isnan(limit(1.1 * fastest)))
    bent = Bent(dimension=1, signal_dimension=1)
    theta, here = jnp.array([0.3]), RewardModel(jnp.array([0.1]))
    newton = BestResponse(ridge=0.05).update(bent, theta, RewardModel(here.phi, jnp.zeros(1)), key).phi
    assert np.all(np.isfinite(newton))  # a step that ends nowhere
    assert np.all(np.isnan(limit(0.01, bent, theta, here, alpha=1.0)))


@struct.dataclass
class Bent(Linear):
    def reward(self, phi, y):
        return jnp.sum(4.0 * jnp.sin(phi) * y)
