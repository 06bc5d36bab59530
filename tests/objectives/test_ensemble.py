"""What a leader makes of the members of an ensemble, whatever their follower makes of them."""

import jax
import numpy as np
import pytest

from fpo_jax import BestResponse, Exact, Myopic
from fpo_jax.envs.bandit import Bandit
from fpo_jax.followers import Ensemble
from fpo_jax.objectives import Ensemble as Paid
from fpo_jax.steering import foresighted_value
from tests.helpers import at_random, away_from_the_start, draw, require_named

ARMS, BEST = Bandit(ordinary=5, planted=2), BestResponse(ridge=0.1, alpha=0.3)


def begun(follower, key):
    game = follower.faced(draw(ARMS, key))
    return game, follower, *jax.jit(away_from_the_start)(game, follower, key)


@pytest.mark.parametrize(
    ("plain", "other"),
    [(Paid(pays="mean"), "worst"), (Paid(pays="uncertainty", weight=0.0), "weights")],
    ids=["mean", "no weight"],
)
def test_the_mean_of_the_members_is_the_myopic_objective_of_a_follower_that_takes_it(plain, other, key):
    game, follower, theta, model = begun(Ensemble(members=3, combine=other, member=BEST), key)
    mean = Ensemble(members=3, combine="mean", member=BEST)
    expected = Myopic().estimate(mean.faced(game), mean, theta, model, key).gradient
    np.testing.assert_array_equal(plain.estimate(game, follower, theta, model, key).gradient, expected)
    assert plain.horizon == 0


def test_disagreement_is_paid_for(key):
    # E_π[mean_i r_i − λ Var_i r_i] − cost, from the members' parameters
    game, follower, theta, model = begun(Ensemble(members=3, member=BEST), key)
    rewards = np.asarray(model.phi) @ np.asarray(game.game.arms.features).T
    pi = np.asarray(jax.nn.softmax(theta))
    cost = float(game.cost(theta, game.respond(theta, key)))
    paid = {"uncertainty": rewards.mean(0) - 2.5 * rewards.var(0), "worst": rewards.min(0)}
    for pays, each in paid.items():
        value = Paid(pays=pays, weight=2.5).value(game, follower, theta, model, key)
        np.testing.assert_allclose(value, pi @ each - cost, rtol=1e-12)


def test_with_a_horizon_it_is_exact_foresight_of_what_it_pays(key):
    mean = Ensemble(members=2, combine="mean", member=BEST)
    game, _, theta, model = begun(mean, key)
    worst = Ensemble(members=2, combine="worst", member=BEST)
    expected = foresighted_value(worst.faced(game), worst, theta, model, key, 2)
    found = Paid(pays="worst", horizon=2).value(game, mean, theta, model, key)
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    # and of what the follower takes itself, the exact objective
    same = Exact().value(game, mean, theta, model, key)
    np.testing.assert_allclose(
        Paid(pays="mean", horizon=1).value(game, mean, theta, model, key), same, rtol=1e-13
    )


def test_a_follower_with_one_reward_model_is_refused(key):
    game, theta, model = at_random(ARMS, BEST, key)
    require_named(
        "follower = best-response: must be ensemble, for an objective that combines its members",
        lambda: Paid().value(game, BEST, theta, model, key),
    )
