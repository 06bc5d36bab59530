"""F itself, its first-order part, and its limit of infinitely many updates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from fpo_jax import BestResponse, Exact, Gradient, Leader, Relaxed, RewardModel, outcome, run_seeds, seed_keys
from fpo_jax.envs.bandit import Bandit, BanditGame
from fpo_jax.envs.linear import Linear
from fpo_jax.objectives import FirstOrder, Implicit, Limit
from fpo_jax.steering import foresighted_value
from tests.helpers import at, at_random, relative_error, slope


def test_the_first_order_remainder_falls_with_slope_two(key):
    game, _, theta, _ = at("neural bandit", key)
    _, phi = game.init(key)

    @jax.jit
    def remainder(lr):
        follower = Gradient(rm_lr=lr)
        exact, first = (
            o.value(game, follower, theta, RewardModel(phi), key) for o in (Exact(), FirstOrder())
        )
        return jnp.abs(exact - first)

    rates = np.logspace(-5, -2, 7)
    assert abs(slope(rates, [float(remainder(r)) for r in rates]) - 2.0) < 0.1


def test_unrolled_to_convergence_is_the_limit_of_the_follower(key):
    # φ ← (1 − d) φ − lr ∇L contracts by at least 1 − d = 0.98 a step: 0.98^2000 = 3e-18. Its fixed point is
    # the best response with ridge d / (2·lr) = 0.1, whose gradient the implicit function theorem gives.
    game, _, theta, model = at("bandit", key)
    follower = Gradient(rm_lr=0.1, weight_decay=0.02, alpha=0.3)
    here = RewardModel(model.phi)
    unrolled, limit = (
        o.estimate(game, follower, theta, here, key).gradient for o in (Exact(horizon=2000), Limit())
    )
    implicit = Implicit().estimate(game, BestResponse(ridge=0.1, alpha=0.3), theta, model, key).gradient
    assert relative_error(unrolled, implicit) < 1e-8
    assert relative_error(limit, implicit) < 1e-12


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


@pytest.mark.parametrize("horizon", [1, 2])
def test_exact_objective_is_F(horizon, key):
    follower = Gradient(rm_lr=0.02, weight_decay=0.01, rm_steps=3)
    game, theta, model = at_random(Linear(dimension=6), follower, key)
    value = Exact(horizon=horizon).value(game, follower, theta, model, key)
    assert value == foresighted_value(game, follower, theta, model, key, horizon)


def test_detached_utility_makes_exact_equal_relaxed_with_the_same_detachment(key):
    follower = Gradient(rm_lr=0.005, weight_decay=0.0)
    game, theta, model = at_random(Linear(), follower, key)
    gradients = [
        jax.grad(lambda t, o=o: o.value(game, follower, t, model, key))(theta)
        for o in (Exact(utility="detached"), Relaxed(weight=0.01, utility="detached"), Exact())
    ]
    assert relative_error(gradients[0], gradients[1]) < 1e-13
    assert relative_error(gradients[0], gradients[2]) > 1e-4  # the choice matters
