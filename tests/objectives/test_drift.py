"""Drift: what the reward did between two updates is what it is taken to do again."""

import jax
import jax.numpy as jnp
import numpy as np

from fpo_jax import BestResponse, Leader, Myopic, run_seed
from fpo_jax.objectives import Drift
from fpo_jax.steering import foresight_keys
from tests.helpers import SMALL, at_random, compilations

FOLLOWER = BestResponse(ridge=0.1, alpha=0.3)


def test_the_value_is_that_of_a_reward_carried_on(key):
    # r = φ·f is linear in φ, so that r + w (r − r') is the reward of φ + w (φ − φ')
    game, theta, model = at_random(SMALL["bandit"], FOLLOWER, key)
    old = jnp.array([0.4, -0.2])
    found = Drift(weight=0.7, old=old).value(game, FOLLOWER, theta, model, key)
    responses = game.respond(theta, foresight_keys(key).evaluation)
    ahead = np.asarray(game.arms.features) @ np.asarray(model.phi + 0.7 * (model.phi - old))
    expected = np.asarray(responses.w) @ ahead - game.cost(theta, responses)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_outside_of_a_run_and_at_weight_0_it_is_myopic(key):
    game, theta, model = at_random(SMALL["bandit"], FOLLOWER, key)
    for objective in (Drift(weight=0.7), Drift(weight=0.0, old=jnp.ones(2))):
        found, myopic = (o.estimate(game, FOLLOWER, theta, model, key) for o in (objective, Myopic()))
        np.testing.assert_array_equal(found.gradient, myopic.gradient)


def test_the_old_reward_model_is_that_of_so_many_updates_ago(key):
    leader = Leader(Drift(weight=0.5, lag=2), policy_lr=1.0)
    _, trace = run_seed(SMALL["bandit"], leader, FOLLOWER, key, steps=5, keep_states=True)
    phi = np.asarray(trace.state.reward_model.phi)
    for t in range(6):
        np.testing.assert_array_equal(trace.state.earlier[t][0], phi[max(t - 2, 0)])
    game = SMALL["bandit"].draw(jax.random.fold_in(key, 0))
    state = jax.tree.map(lambda leaf: leaf[4], trace.state)
    np.testing.assert_array_equal(leader.for_iteration(game, FOLLOWER, state, key).objective.old, phi[2])


def test_other_weights_compile_nothing(key):
    def go(weight):
        return run_seed(SMALL["bandit"], Leader(Drift(weight=weight)), FOLLOWER, key, steps=2)

    go(0.1)
    with compilations() as names:
        go(0.2)
    assert names == []
