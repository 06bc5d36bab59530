"""Penalties: relaxed, practical and proximal FPO, TracIn; and where they equal the exact objective."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpo_jax import BestResponse, Exact, Gradient, Myopic, Practical, Relaxed, RewardModel
from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.envs.linear import Linear
from fpo_jax.expect import leader_value
from fpo_jax.objectives import FirstOrder, Proximal, Tracin
from tests.helpers import at, at_random, relative_error, slope


def test_proximal_is_the_exact_gradient_for_a_proximal_best_response(key):
    # φ⁺ = argmin (r − U)² + ‖φ − φ_t‖²/κ, half of which is the loss that defines the proximal penalty.
    game, _, theta, model = at("linear", key)
    kappa = 0.3
    follower = BestResponse(ridge=1.0 / kappa, anchored=True)
    here = RewardModel(model.phi, memory=model.phi)
    exact = Exact().estimate(game, follower, theta, here, key).gradient
    proximal = Proximal(weight=kappa).estimate(game, follower, theta, here, key).gradient
    np.testing.assert_allclose(proximal, exact, rtol=1e-12)


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


def test_one_step_on_one_response_makes_exact_equal_relaxed_at_twice_the_learning_rate(key):
    # φ⁺·y = φ·y + 2 lr (U − r) ‖y‖², and ∇_φ r = y: F(y) = J − 2 lr (r − U) ‖∇_φ r‖², term by term.
    follower = Gradient(rm_lr=0.005, weight_decay=0.0)
    game, theta, model = at_random(Linear(), follower, key)
    assert follower.calibrated_weight(1) == 0.01
    exact, relaxed = Exact(), Relaxed(weight=follower.calibrated_weight(1))

    def both(t):
        return (o.value(game, follower, t, model, key) for o in (exact, relaxed))

    exact_gradient, relaxed_gradient = jax.jacrev(lambda t: jnp.stack([*both(t)]))(theta)
    assert relative_error(exact_gradient, relaxed_gradient) < 1e-13


def test_relaxed_gradient_in_the_three_uses_of_utility(key):
    # With R = r − U, n = ‖y‖², the gradient of R·n is (w − ∇U) n + 2Ry; detaching U drops ∇U, using the
    # residual by value drops w as well.
    game, y, model = at_random(Linear(), Gradient(), key)
    w = model.phi
    U = game.utility(y)
    dU = -2 * 0.3 * U * (y - game.ideal)
    R, n = w @ y - U, y @ y
    expected = {
        "differentiated": (w - dU) * n + 2 * R * y,
        "detached": w * n + 2 * R * y,
        "value": 2 * R * y,
    }
    for utility, penalty in expected.items():
        objective = Relaxed(weight=0.1, utility=utility)
        gradient = jax.grad(lambda t, o=objective: o.value(game, Gradient(), t, model, key))(y)
        np.testing.assert_allclose(gradient, w - 0.2 * y - 0.1 * penalty, rtol=1e-12)


@pytest.mark.parametrize("objective", [Relaxed(weight=0.0), Practical(weight=0.0)])
@pytest.mark.parametrize("name", ["bandit", "linear", "gridworld"])  # one of each kind of policy
def test_weight_zero_is_myopic(name, objective, key):
    game, theta, model = at_random(ENVIRONMENTS[name](), Gradient(), key)

    @jax.jit
    def gradients(t):
        return [o.estimate(game, Gradient(), t, model, key).gradient for o in (objective, Myopic())]

    # 0 · penalty adds nothing; what is left is the order in which either program adds numbers of order 1
    np.testing.assert_allclose(*gradients(theta), rtol=1e-13, atol=1e-14)
