"""The gradient by the implicit function theorem: equal to the other exact routes, and plain about its end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from fpo_jax import BestResponse, Exact, Gradient, Myopic
from fpo_jax.errors import InputError
from fpo_jax.followers import Optax
from fpo_jax.objectives import EffectiveReward, Implicit, ScoreFunction, ZeroOrder
from tests.helpers import CASES, at, away_from_the_start, relative_error

UNROLLED = "unrolled over three best responses"
EXACT_ROUTES = {
    "autodiff of F": Exact(),
    UNROLLED: Exact(horizon=3),
    "implicit, dense": Implicit(),
    "implicit, CG": Implicit(solver="cg"),
    "effective reward": EffectiveReward(),
}


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.slow) if c == "neural bandit" else c for c in CASES]
)
def test_all_exact_routes_agree(case, key):
    make, follower = CASES[case]

    @jax.jit
    def by_all_routes(key):
        game = make(key)
        theta, model = away_from_the_start(game, follower, key)
        estimates = {
            name: route.estimate(game, follower, theta, model, key)
            for name, route in (EXACT_ROUTES | {"zero order": ZeroOrder(), "myopic": Myopic()}).items()
            if case != "neural bandit" or name != UNROLLED  # whose second update begins where it ends
        }
        driving = jax.grad(lambda t: Implicit().value(game, follower, t, model, key))(theta)
        return (
            estimates,
            driving,
            Implicit().value(game, follower, theta, model, key),
            Exact().value(game, follower, theta, model, key),
        )

    estimates, driving, value, F = by_all_routes(key)
    reference = estimates["implicit, dense"].gradient
    for name in EXACT_ROUTES.keys() & estimates.keys():
        assert relative_error(estimates[name].gradient, reference) < 1e-8, name
        assert estimates[name].cost.residual < 1e-11, name
    assert relative_error(estimates["zero order"].gradient, reference) < 1e-6
    assert relative_error(estimates["myopic"].gradient, reference) > 1e-2  # else equality would say nothing
    np.testing.assert_array_equal(driving, reference)  # as an objective it drives the policy
    assert value == F


def test_conjugate_gradients_need_no_more_steps_than_there_are_parameters(key):
    game, follower, theta, model = at("linear", key)
    estimate = Implicit(solver="cg", tolerance=1e-10, terms=6).estimate(game, follower, theta, model, key)
    assert estimate.cost.iterations <= 6
    assert estimate.cost.residual < 1e-10
    assert np.all(np.isfinite(estimate.gradient))


@pytest.mark.slow
def test_damping_makes_an_indefinite_hessian_usable(key):
    class Saddle(BestResponse):
        def update(self, game, theta, reward_model, key):
            return reward_model

        def loss(self, game, theta, reward_model, key):
            inner = BestResponse.loss(self, game, theta, reward_model, key)
            return lambda phi: inner(phi) - 10.0 * jnp.sum(phi[:1] ** 2)

    game, _, theta, model = at("bandit", key)
    follower = struct.dataclass(Saddle)(ridge=0.1, alpha=0.3)
    assert np.all(np.isnan(Implicit().estimate(game, follower, theta, model, key).gradient))
    damped = Implicit(damping=30.0).estimate(game, follower, theta, model, key)
    assert np.all(np.isfinite(damped.gradient))


def test_a_follower_that_ignores_the_policy_leaves_nothing_to_steer(key):
    game, _, theta, model = at("bandit", key)
    follower = BestResponse(ridge=0.1, alpha=0.0)
    for route in (Implicit(), Implicit(solver="cg")):
        parts, _ = route.decompose(game, follower, theta, model, key)
        assert np.all(np.asarray(parts.steering) == 0.0)


def test_where_a_route_does_not_apply_it_says_so(key):
    game, _, theta, model = at("linear", key)
    with pytest.raises(InputError, match="follower = gradient: must be one whose update is a best response"):
        Implicit().estimate(game, Gradient(), theta, model, key)
    with pytest.raises(InputError, match="objective = score-function: must be another one"):
        ScoreFunction().estimate(game, Gradient(), theta, model, key)


def test_an_estimate_says_how_far_from_a_stationary_point_it_was_made(key):
    game, follower, theta, model = at("bandit", key)
    assert Implicit().estimate(game, follower, theta, model, key).cost.slope < 1e-12
    optimiser = Optax(alpha=0.3)  # one step of it ends at no stationary point, as the theorem asks for
    here = optimiser.init(game, theta, model.phi, key)
    cost = Implicit(damping=0.1).estimate(game, optimiser, theta, here, key).cost
    assert cost.residual < 1e-12
    assert cost.slope > 1e-3
