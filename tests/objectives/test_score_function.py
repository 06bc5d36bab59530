"""The score-function estimate: right on average, and a number where weights underflow."""

import jax
import jax.numpy as jnp
import numpy as np

from fpo_jax import BestResponse, Exact, Gradient, Preferences
from fpo_jax.envs.bandit import Bandit
from fpo_jax.objectives import ScoreFunction
from fpo_jax.steering import norm
from tests.helpers import at


def test_score_function_is_within_4_standard_errors(key):
    game, follower, theta, model = at("bandit", key)
    exact = Exact().estimate(game, follower, theta, model, key).gradient
    route = ScoreFunction(samples=500)
    draws = jax.lax.map(
        lambda k: route.estimate(game, follower, theta, model, k).gradient, jax.random.split(key, 200)
    )
    error = np.std(draws, axis=0, ddof=1) / np.sqrt(200)
    assert np.all(np.abs(np.mean(draws, axis=0) - exact) < 4 * error)


def test_a_score_function_is_a_number_where_weights_underflow(key):
    with jax.enable_x64(False):
        game = Bandit(ordinary=3, planted=1).draw(key)
        theta = jnp.array([0.0, 1.0, -110.0, 0.5])  # exp(−111) is 0 in float32
        assert float(jax.nn.softmax(theta)[2]) == 0.0
        follower = BestResponse(ridge=0.1, alpha=0.3)
        model = follower.init(game, theta, jnp.zeros(2), key)
        estimate = ScoreFunction(samples=4000).estimate(game, follower, theta, model, key).gradient
        exact = Exact().estimate(game, follower, theta, model, key).gradient
        assert np.all(np.isfinite(estimate))
        assert estimate[2] == 0.0
        assert norm(estimate - exact) < 0.2 * norm(exact) + 0.02  # of order 1/√4000


def test_a_score_function_of_pairs_tends_to_the_exact_gradient(contextual_state, key):
    # F is linear in φ⁺, and one step makes φ⁺ linear in the data: no bias, and noise of order 1/√samples.
    game, theta, model = contextual_state
    follower = Gradient(rm_lr=0.5, feedback=Preferences())
    exact = Exact().estimate(game, follower, theta, model, key).gradient
    route = ScoreFunction(samples=20_000)
    estimate = jax.jit(lambda k: route.estimate(game, follower, theta, model, k).gradient)(key)
    assert norm(estimate - exact) < 0.1 * norm(exact)
    few = ScoreFunction(samples=50).estimate(game, follower, theta, model, key).gradient
    assert norm(estimate - exact) < 0.5 * norm(few - exact)
