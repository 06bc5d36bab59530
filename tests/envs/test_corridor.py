"""The corridor against the closed forms derived in the docstring of `fpo_jax.envs.corridor`."""

import jax
import numpy as np
import pytest

from fpo_jax import BestResponse, foresighted_value
from fpo_jax.envs.corridor import Corridor
from fpo_jax.expect import follower_loss, leader_value, training_data
from fpo_jax.steering import steering

CORRIDORS = [
    (Corridor(), BestResponse(alpha=0.3, ridge=0.1)),
    (
        Corridor(short=1, long=1, discount=0.5, temperature=0.3, glitter=-1.5, visibility=2.0),
        BestResponse(alpha=1.0, ridge=0.7),
    ),
    (Corridor(short=3, long=7, discount=0.99, temperature=0.05), BestResponse(alpha=0.6, ridge=0.01)),
    pytest.param(
        Corridor(short=2, long=120, discount=0.99, occupancy_solver="iterative"),
        BestResponse(alpha=0.3, ridge=0.1),
        id="where GMRES comes to a halt",
        marks=pytest.mark.slow,
    ),
]


class ClosedForm:
    """The formulas of the docstring, in its notation, written down once more in NumPy."""

    def __init__(self, corridor, follower, theta):
        m, n, g, v = corridor.short, corridor.long, corridor.glitter, corridor.visibility
        gamma, tau, alpha, lam = corridor.discount, corridor.temperature, follower.alpha, follower.ridge
        policy = np.exp(theta) / np.exp(theta).sum(axis=1, keepdims=True)
        p = policy[m, 0]
        short = [(1 - gamma) * gamma**j for j in range(m - 1, 0, -1)]  # from the decoy's side to the start
        long = [(1 - gamma) * gamma**j for j in range(1, n)]
        self.d = np.array(
            [gamma**m * p, *(p * np.array(short)), 1 - gamma, *((1 - p) * np.array(long)), gamma**n * (1 - p)]
        )
        # the derivative of d along p′ = p(1 − p), that is, in θ[start, 0]
        slope = p * (1 - p)
        d_slope = slope * np.array([gamma**m, *short, 0.0, *(-np.array(long)), -(gamma**n)])
        self.w = self.d[:, None] * policy
        D, G = self.d[0], self.d[-1]
        a, b = alpha * D, (1 - alpha) / (m + n) + alpha * G
        delta = (b * v**2 + lam) * (a * g**2 + b + lam) - b**2 * v**2
        self.phi = np.array([b * v * (a * g**2 + lam), b * lam]) / delta
        kl = (policy * np.log(2 * policy)).sum(axis=1)

        def J(phi):
            return D * g * phi[1] + G * (v * phi[0] + phi[1]) - tau * np.sum(self.d * kl)

        def L(phi):
            return a * (g * phi[1]) ** 2 + b * (v * phi[0] + phi[1] - 1) ** 2

        self.J, self.L, self.F = J, L, J(self.phi)
        D_, G_ = d_slope[0], d_slope[-1]
        a_, b_ = alpha * D_, alpha * G_
        delta_ = b_ * v**2 * (a * g**2 + b + lam) + (b * v**2 + lam) * (a_ * g**2 + b_) - 2 * b * b_ * v**2
        phi1_ = (b_ * v * (a * g**2 + lam) + b * v * a_ * g**2 - self.phi[0] * delta_) / delta
        phi2_ = (b_ * lam - self.phi[1] * delta_) / delta
        opposite = np.array([1.0, -1.0])  # θ[start, 1] moves p the other way
        kl_gradient = policy * (np.log(2 * policy) - kl[:, None])
        self.standard = -tau * self.d[:, None] * kl_gradient
        self.standard[m] += opposite * (
            D_ * g * self.phi[1] + G_ * (v * self.phi[0] + self.phi[1]) - tau * np.sum(d_slope * kl)
        )
        self.steering = np.zeros_like(theta)
        self.steering[m] = opposite * (phi1_ * G * v + phi2_ * (D * g + G))


@jax.jit
def everything(corridor, follower, theta, phi, key):
    game = corridor.draw(key)
    responses = game.respond(theta, key)
    model = follower.init(game, theta, phi, key)
    parts = steering(game, follower, theta, model, key)
    return {
        "occupancy": responses.w.reshape(theta.shape),
        "J": leader_value(game, theta, phi, responses),
        "L": follower_loss(game, phi, training_data(game, theta, follower.alpha, key)),
        "best response": model.phi,
        "F": foresighted_value(game, follower, theta, model, key),
        "standard": parts.standard,
        "steering": parts.steering,
        "optimum": game.optimum(),
    }


@pytest.mark.parametrize(("corridor", "follower"), CORRIDORS, ids=lambda x: type(x).__name__)
def test_everything_has_its_closed_form(corridor, follower, key):
    theta = np.random.default_rng(0).normal(size=(corridor.short + corridor.long + 1, 2))
    phi = np.array([0.7, -1.3])
    computed = everything(corridor, follower, theta, phi, key)
    closed = ClosedForm(corridor, follower, theta)
    expected = {
        "occupancy": closed.w,
        "J": closed.J(phi),
        "L": closed.L(phi),
        "best response": closed.phi,
        "F": closed.F,
        "standard": closed.standard,
        "steering": closed.steering,
        "optimum": corridor.discount**corridor.long,
    }
    assert computed.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(computed[name], value, rtol=1e-10, atol=1e-12, err_msg=name)
    assert np.any(np.abs(closed.steering) > 1e-3)
