"""The ladder of approximations: exact routes agree, approximations have the properties that define them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree

from fpo_jax import BestResponse, Exact, Gradient, Myopic, Relaxed, RewardModel
from fpo_jax.envs.bandit import Bandit, BanditGame
from fpo_jax.envs.linear import Linear
from fpo_jax.errors import InputError
from fpo_jax.expect import leader_value
from fpo_jax.followers import Converged, Optax
from fpo_jax.numerics.linear_solve import Limits, solve, solve_positive
from fpo_jax.objectives import OBJECTIVES, FirstOrder, Limit, Proximal, Tracin
from fpo_jax.objectives.routes import EffectiveReward, Implicit, ScoreFunction, ZeroOrder
from fpo_jax.steering import norm

HIDDEN = 3


@struct.dataclass
class NeuralBandit(BanditGame):
    """The bandit with a reward model that is not linear in φ: one softplus layer on the same features."""

    def init(self, key):
        shapes = {"in": (2, HIDDEN), "bias": (HIDDEN,), "out": (HIDDEN,)}
        keys = dict(zip(shapes, jax.random.split(key, 3), strict=True))
        phi = {name: jax.random.normal(keys[name], shape) for name, shape in shapes.items()}
        return jnp.zeros_like(self.arms.quality), phi

    def reward(self, phi, y):
        return jnp.dot(jax.nn.softplus(y.features @ phi["in"] + phi["bias"]), phi["out"])


def neural_bandit(key):
    game = Bandit(ordinary=5, planted=2).draw(key)
    return NeuralBandit(game.arms, game.temperature)


CASES = {
    "bandit": (lambda key: Bandit(ordinary=5, planted=2).draw(key), BestResponse(ridge=0.1, alpha=0.3)),
    "linear": (lambda key: Linear(dimension=6), BestResponse(ridge=0.05)),
    "neural bandit": (neural_bandit, Converged(ridge=0.05, alpha=0.3, anchored=True)),
}
UNROLLED = "unrolled over three best responses"
EXACT_ROUTES = {
    "autodiff of F": Exact(),
    UNROLLED: Exact(horizon=3),
    "implicit, dense": Implicit(),
    "implicit, CG": Implicit(solver="cg"),
    "effective reward": EffectiveReward(),
}


def away_from_the_start(make, follower, key):
    game = make(key)
    theta, phi = game.init(key)
    theta = theta + 0.5 * jax.random.normal(key, theta.shape)
    return game, theta, follower.init(game, theta, phi, key)


def relative_error(a, b):
    a, b = ravel_pytree(a)[0], ravel_pytree(b)[0]
    return float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.slow) if c == "neural bandit" else c for c in CASES]
)
def test_all_exact_routes_agree(case, key):
    make, follower = CASES[case]

    @jax.jit
    def by_all_routes(key):
        game, theta, model = away_from_the_start(make, follower, key)
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


def at(case, key):
    make, follower = CASES[case]
    game = make(key)
    theta, phi = game.init(key)
    theta = theta + 0.5 * jax.random.normal(key, theta.shape)
    phi = jax.tree.map(lambda p: p + 0.3 * jax.random.normal(key, p.shape), phi)
    return game, follower, theta, RewardModel(phi, memory=jax.tree.map(jnp.zeros_like, phi))


def test_conjugate_gradients_need_no_more_steps_than_there_are_parameters(key):
    game, follower, theta, model = at("linear", key)
    estimate = Implicit(solver="cg", tolerance=1e-10, terms=6).estimate(game, follower, theta, model, key)
    assert estimate.cost.iterations <= 6
    assert estimate.cost.residual < 1e-10
    assert np.all(np.isfinite(estimate.gradient))


def test_neumann_error_falls_by_the_spectral_radius():
    # v − v_K = (I − η H)^K v; along the eigenvector of the least curvature the factor is the spectral radius.
    curvatures = jnp.array([0.5, 1.0, 3.0])
    turn = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (3, 3)))[0]
    hessian = turn @ jnp.diag(curvatures) @ turn.T
    b = jax.random.normal(jax.random.key(1), (3,))
    exact = jnp.linalg.solve(hessian, b)
    step = 0.3
    radius = np.max(np.abs(1 - step * np.asarray(curvatures)))
    errors = []
    for terms in (40, 50, 60):
        v, cost = solve("neumann", lambda x: hessian @ x, b, Limits(1e-12, terms, step))
        errors.append(float(jnp.linalg.norm(v - exact)))
        assert cost.iterations == terms
    ratios = np.array(errors[1:]) / errors[:-1]
    np.testing.assert_allclose(ratios, radius**10, rtol=1e-3)
    # left to itself it takes one over the largest curvature, 1/3: radius 5/6
    v, _ = solve("neumann", lambda x: hessian @ x, b, Limits(1e-12, 200, 0.0))
    assert jnp.linalg.norm(v - exact) < 1e-12


@pytest.mark.parametrize(
    ("solver", "hessian", "limits"),
    [
        ("dense", [[1.0, 0.0], [0.0, -1.0]], Limits(1e-12, 100, 0.0)),  # indefinite
        ("dense", [[1.0, 1.0], [1.0, 1.0]], Limits(1e-12, 100, 0.0)),  # singular
        ("cg", [[1.0, 0.0], [0.0, 100.0]], Limits(1e-12, 1, 0.0)),  # too few iterations
        ("neumann", [[1.0, 0.0], [0.0, 3.0]], Limits(1e-12, 100, 1.0)),  # radius |1 − 3| = 2: diverges
    ],
)
def test_a_solve_that_fails_is_not_a_number_and_says_how_far_it_came(solver, hessian, limits):
    v, cost = solve(solver, lambda x: jnp.array(hessian) @ x, jnp.array([1.0, -0.5]), limits)
    assert np.all(np.isnan(v))
    assert not cost.residual < 1e-6


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


def test_proximal_is_the_exact_gradient_for_a_proximal_best_response(key):
    # φ⁺ = argmin (r − U)² + ‖φ − φ_t‖²/κ, half of which is the loss that defines the proximal penalty.
    game, _, theta, model = at("linear", key)
    kappa = 0.3
    follower = BestResponse(ridge=1.0 / kappa, anchored=True)
    here = RewardModel(model.phi, memory=model.phi)
    exact = Exact().estimate(game, follower, theta, here, key).gradient
    proximal = Proximal(weight=kappa).estimate(game, follower, theta, here, key).gradient
    np.testing.assert_allclose(proximal, exact, rtol=1e-12)


def slope(steps, errors):
    return np.polyfit(np.log(steps), np.log(errors), 1)[0]


def test_proximal_tends_to_relaxed_with_slope_two(key):
    # κ g²/(1 + κ g²) = κ g² − κ² g⁴ + …: what is left over is of second order in κ.
    game, follower, theta, model = at("linear", key)

    @jax.jit
    def apart(kappa):
        proximal, relaxed = (
            o.estimate(game, follower, theta, model, key).gradient
            for o in (Proximal(weight=kappa), Relaxed(weight=kappa))
        )
        return jnp.linalg.norm(proximal - relaxed)

    kappas = np.logspace(-5, -2, 7)
    assert abs(slope(kappas, [float(apart(k)) for k in kappas]) - 2.0) < 0.1


@jax.jit
def proximal_reward(game, kappa, w, y):
    value = Proximal(weight=kappa).value(game, Gradient(), y, RewardModel(w), jax.random.key(0))
    return value + game.cost(y, game.respond(y, None))


@settings(max_examples=50, deadline=None)
@given(kappa=st.floats(0.0, 1e6), phi=st.floats(-3, 3), y=st.floats(-3, 3))
def test_the_proximal_reward_lies_between_reward_and_utility(kappa, phi, y):
    game = Linear(dimension=1, signal_dimension=1)
    w, y = jnp.array([phi]), jnp.array([y])
    reward, utility = float(game.reward(w, y)), float(game.utility(y))
    after = float(proximal_reward(game, kappa, w, y))
    slack = 1e-9 * (abs(reward) + abs(utility))
    assert min(reward, utility) - slack <= after <= max(reward, utility) + slack


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


def test_tracin_is_first_order_less_the_change_of_the_mean_gradient(key):
    # One gradient step on on-policy data: F₁ = J − lr ⟨ḡ(θ), ∇L(θ)⟩, of which TracIn at weight 2·lr holds ḡ.
    game, _, theta, _ = at("bandit", key)
    lr = 0.01
    follower = Gradient(rm_lr=lr, alpha=1.0)
    phi = jnp.array([0.3, -0.7])
    model = RewardModel(phi)

    def mean_gradient(t):
        return jax.grad(lambda p: leader_value(game, t, p, game.respond(t, key)))(phi)

    def change(t):
        loss_gradient = (phi - follower.update(game, theta, model, key).phi) / lr
        return -lr * jnp.vdot(mean_gradient(t), loss_gradient)

    first = FirstOrder().estimate(game, follower, theta, model, key).gradient
    tracin = Tracin(weight=2 * lr).estimate(game, follower, theta, model, key).gradient
    # With offline data the follower's step holds that too; here its share is 1 − α = 0.
    np.testing.assert_allclose(first - tracin, jax.grad(change)(theta), rtol=1e-10, atol=1e-14)


def test_score_function_is_within_4_standard_errors(key):
    game, follower, theta, model = at("bandit", key)
    exact = Exact().estimate(game, follower, theta, model, key).gradient
    route = ScoreFunction(samples=500)
    draws = jax.lax.map(
        lambda k: route.estimate(game, follower, theta, model, k).gradient, jax.random.split(key, 200)
    )
    error = np.std(draws, axis=0, ddof=1) / np.sqrt(200)
    assert np.all(np.abs(np.mean(draws, axis=0) - exact) < 4 * error)


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


def test_a_response_that_did_not_converge_is_not_a_number(key):
    game, _, theta, model = at("neural bandit", key)
    follower = Converged(ridge=0.05, alpha=0.3, most_steps=1, gradient_norm=1e-300)
    assert np.all(np.isnan(ravel_pytree(follower.update(game, theta, model, key).phi)[0]))


@pytest.mark.parametrize(
    "name", sorted(OBJECTIVES.keys() - {"informed"})
)  # whose oracle asks for a game with luck
def test_every_rung_drives_a_policy(name, key):
    # Each is finite, and starts from a gradient that is F's to the sign where it claims to approximate it.
    game, follower, theta, model = at("bandit", key)
    objective = OBJECTIVES[name]()
    gradient = jax.jit(jax.grad(lambda t: objective.value(game, follower, t, model, key)))(theta)
    assert np.all(np.isfinite(gradient))
    np.testing.assert_allclose(np.sum(gradient), 0.0, atol=1e-10 if name != "zero-order" else 1e-8)


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


@pytest.mark.parametrize("size", [1, 3, 4, 5])
def test_a_positive_definite_system_is_solved_with_and_without_lapack(size):
    rng = np.random.default_rng(size)
    half, b = rng.normal(size=(size, size + 2)), rng.normal(size=size)
    matrix = half @ half.T
    np.testing.assert_allclose(solve_positive(matrix, b), np.linalg.solve(matrix, b), rtol=1e-9)
    least = np.linalg.eigvalsh(matrix)[0]
    assert np.isnan(solve_positive(matrix - 1.1 * least * np.eye(size), b)).any()  # one curvature is negative


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
