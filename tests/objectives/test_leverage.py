"""Leverage and pessimism: the curvature they are measured in, what leverage is the derivative of, forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from scipy.optimize import brentq
from scipy.special import expit

from fpo_jax import (
    BestResponse,
    Gradient,
    Labels,
    Leader,
    Myopic,
    Preferences,
    Proximal,
    RewardModel,
    run_seed,
)
from fpo_jax.envs.linear import Linear
from fpo_jax.envs.neural import Neural
from fpo_jax.followers import Optax
from fpo_jax.objectives import Leverage, Pessimistic
from fpo_jax.objectives.leverage import curvature
from fpo_jax.run import iterate
from fpo_jax.steering import foresight_keys
from fpo_jax.types import State
from fpo_jax.wrappers import SamePolicy
from tests.helpers import CONTEXTUAL, SMALL, at_random, compilations, pairs_by_hand, require_named


@struct.dataclass
class Relabelled(SamePolicy):
    """The same game, in which all is added to U that lies on the line through one response's features."""

    response: jax.Array
    shift: float | jax.Array

    def utility(self, y):
        here = jnp.all(y.features == self.response)
        return self.game.utility(y) + jnp.where(here, self.shift, 0.0)


@pytest.mark.parametrize("environment", [SMALL["bandit"], CONTEXTUAL])
def test_leverage_is_what_a_label_does_to_its_own_reward(environment, key):
    # ∂r_φ⁺(y)/∂U(y) = 2 μ(y) ∇rᵀ H⁻¹ ∇r: refit with one label moved. φ⁺ is linear in the labels, so that a
    # difference of any size is the derivative; at weight 1 the effective reward is r − ℓ, so that ℓ = Δ / w.
    follower = BestResponse(ridge=0.1, alpha=0.3)
    game, theta, model = at_random(environment, follower, key)
    keys = foresight_keys(key)

    @jax.jit
    def both(number):
        responses, data = game.respond(theta, key), game.offline()
        y = jax.tree.map(lambda leaf: leaf[number], responses.y)

        def refitted(shift):
            relabelled = Relabelled(game=game, response=y.features, shift=shift)
            return game.reward(follower.update(relabelled, theta, model, keys.data).phi, y)

        share = 0.7 * data.w[number] + 0.3 * responses.w[number]
        metric = jnp.linalg.inv(curvature(game, follower, theta, model, keys.data))
        leverage = y.features @ metric @ y.features
        return refitted(1.0) - refitted(0.0), 2.0 * share * leverage, leverage

    count = game.respond(theta, key).w.size
    found = np.array([both(i) for i in range(count)])
    np.testing.assert_allclose(found[:, 0], found[:, 1], rtol=1e-6)
    # and the objective is made of that leverage
    value = {w: Leverage(weight=w).value(game, follower, theta, model, key) for w in (0.0, 1.0)}
    expected = np.asarray(game.respond(theta, key).w) @ found[:, 2]
    np.testing.assert_allclose(value[0.0] - value[1.0], expected, rtol=1e-10)


@pytest.mark.parametrize("feedback", [Labels(), Preferences()])
def test_the_curvature_is_the_hessian_of_the_followers_loss(feedback, contextual_state, key):
    game, theta, model = contextual_state
    follower = BestResponse(ridge=0.1, alpha=0.3, feedback=feedback)
    here = RewardModel(model.phi, memory=jnp.zeros_like(model.phi))

    @jax.jit
    def both():
        loss = follower.loss(game, theta, here, key)
        return curvature(game, follower, theta, here, key), jax.hessian(loss)(here.phi)

    np.testing.assert_allclose(*both(), rtol=1e-10, atol=1e-12)


def test_the_curvature_of_followers_that_take_steps(key):
    # Weight decay d is a step down ½ (d / lr) ‖φ‖²; optax adds weight_decay · φ to the gradient. With one
    # response y the rest is 2 y yᵀ; a buffer of two draws, one of them still empty, holds y alone.
    game = Linear(dimension=3)
    y, phi = jnp.array([1.0, -2.0, 0.5]), jnp.array([0.3, 0.2, 0.1])
    gradient = Gradient(rm_lr=0.05, weight_decay=0.2)
    np.testing.assert_allclose(
        curvature(game, gradient, y, RewardModel(phi), key),
        2.0 * np.outer(y, y) + 4.0 * np.eye(3),
        rtol=1e-12,
    )
    buffered = Optax(weight_decay=0.3, replay="fifo", buffer_size=2)
    model = buffered.init(game, y, phi, key)
    np.testing.assert_allclose(
        curvature(game, buffered, y, model, key), 2.0 * np.outer(y, y) + 0.3 * np.eye(3), rtol=1e-12
    )


def test_the_curvature_of_a_network_is_that_of_its_last_layer(key):
    # Gauss–Newton by hand: activations a of a layer of three softplus units, H = 2 E[(a, 1)(a, 1)ᵀ] + decay.
    game = Neural(dimension=2, rm_hidden="3", responses=4, init_noise=0.7)
    follower = Optax(weight_decay=0.1)
    _, phi = game.init(key)
    theta = jnp.array([0.5, -0.3])
    model = follower.init(game, theta, phi, key)
    found = curvature(game, follower, theta, model, key)
    y = np.asarray(follower.training(game, theta, model, key).items.y)
    weights = phi["params"]
    z = y @ np.asarray(weights["kernel_0"]) + np.asarray(weights["bias_0"])
    rows = np.append(np.log1p(np.exp(z)), np.ones((4, 1)), axis=1)
    np.testing.assert_allclose(found, 2.0 * rows.T @ rows / 4 + 0.1 * np.eye(4), rtol=1e-12)


def by_hand(game, theta, model, opponent=None):
    """Weights, rewards, margins, p*, inner products of ∇r and ∇m, from the formulas alone; δ = 0.05."""
    phi = np.asarray(model.phi)
    if opponent is None:
        y = game.respond(theta, None)
        data, w, psi = game.offline(), np.asarray(y.w), np.asarray(y.y.features)
        p = np.asarray(jax.vmap(game.utility)(y.y))
        mixed = 0.7 * np.asarray(data.w) + 0.3 * w
        H, margin = 2.0 * (psi.T * mixed) @ psi, psi
    else:
        w, psi, other, p = pairs_by_hand(game, theta, opponent)
        margin = psi - other
        chosen = expit(margin @ phi)
        offline = Preferences().offline(game, jax.random.key(0))
        rows = np.asarray(offline.y.y.features - offline.y.other.features)
        seen = expit(rows @ phi)
        H = 0.3 * (margin.T * (w * chosen * (1 - chosen))) @ margin
        H += 0.7 * (rows.T * (np.asarray(offline.w) * seen * (1 - seen))) @ rows
    metric = np.linalg.inv(H + (0.2 + 0.05) * np.eye(phi.size))  # ridge 0.1 · ‖φ‖² curves by 0.2
    products = (np.sum(side @ metric * margin, axis=1) for side in (psi, margin))
    return w, psi @ phi, (margin @ phi, p), *products, metric


@pytest.mark.parametrize("opponent", [None, "reference"])
def test_forms_by_hand(opponent, contextual_state, key):
    game, theta, model = contextual_state
    feedback = Labels() if opponent is None else Preferences(opponent=opponent)
    follower = BestResponse(ridge=0.1, alpha=0.3, feedback=feedback)
    w, reward, (m, p), on_reward, on_margin, metric = by_hand(game, theta, model, opponent)
    believes = expit if opponent else lambda x: x
    after = [  # the margin at which an implicit step ends, x = m − w (believed(x) − p) ‖∇m‖² in the metric
        brentq(lambda x, m=m, p=p, size=size: x + 0.7 * size * (believes(x) - p) - m, -99.0, 99.0, xtol=1e-14)
        for m, p, size in zip(m, p, on_margin, strict=True)
    ]
    residual, bounded = believes(m) - p, believes(np.array(after)) - p
    cost = float(game.cost(theta, game.respond(theta, key)))
    forms = {  # with 1 in place of the residual, and with it
        "square": (on_reward, residual * on_reward),
        "root": (np.sqrt(on_margin), residual * np.sqrt(on_margin)),
        "bounded": (on_reward / (1.0 + 0.7 * on_margin), bounded * on_reward),
    }
    objectives, expected = [], []
    for (form, (blind, knowing)), oracle in itertools.product(forms.items(), (0.0, 0.4)):
        objectives.append(Leverage(weight=0.7, oracle=oracle, damping=0.05, form=form))
        expected.append(w @ (reward - 0.7 * ((1.0 - oracle) * blind + oracle * knowing)) - cost)
    policy = game.respond(theta, key)
    psi = np.asarray(policy.y.features)
    width = np.sqrt(np.sum(psi @ metric * psi, axis=1))
    for weight in (0.7, -0.7):
        objectives.append(Pessimistic(weight=weight, damping=0.05))
        expected.append(np.asarray(policy.w) @ (psi @ np.asarray(model.phi) - weight * width) - cost)
    found = jax.jit(lambda: [o.value(game, follower, theta, model, key) for o in objectives])()
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_with_the_residual_the_bounded_form_in_a_plain_metric_is_the_proximal_penalty(key):
    # H + δ → δ I as δ grows: at weight κ δ and damping δ = 10⁹ leverage is κ‖∇r‖², up to H / δ.
    follower = Gradient()
    game, theta, model = at_random(SMALL["bandit"], follower, key)
    bounded = Leverage(weight=0.3e9, damping=1e9, oracle=1.0, form="bounded")
    values = [o.value(game, follower, theta, model, key) for o in (bounded, Proximal(weight=0.3))]
    np.testing.assert_allclose(*values, rtol=1e-7)


def test_a_response_is_differentiated_and_the_curvature_is_not(key):
    # One response y: r − w·yᵀH⁻¹y with H held fixed has gradient φ − 0.2 y − 2 w H⁻¹ y.
    game, follower = Linear(dimension=3), Gradient(rm_lr=0.05, weight_decay=0.2)
    y, phi = jnp.array([1.0, -2.0, 0.5]), jnp.array([0.3, 0.2, 0.1])
    model = RewardModel(phi)
    leverage, pessimistic = (
        jax.grad(lambda t, o=objective: o.value(game, follower, t, model, key))(y)
        for objective in (Leverage(weight=0.7), Pessimistic(weight=0.7))
    )
    solved = np.linalg.solve(2.0 * np.outer(y, y) + 4.0 * np.eye(3), y)
    np.testing.assert_allclose(leverage, phi - 0.2 * y - 1.4 * solved, rtol=1e-10)
    np.testing.assert_allclose(pessimistic, phi - 0.2 * y - 0.7 * solved / np.sqrt(y @ solved), rtol=1e-10)


def test_in_a_run_the_curvature_is_that_of_the_policy_with_which_an_iteration_begins(key):
    # two policy steps of r − w·yᵀH⁻¹y by hand, H = 2 y₀ y₀ᵀ + 4 I in both: θ + lr (φ − 0.2 θ − 2 w H⁻¹ θ)
    game, follower = Linear(dimension=3), Gradient(rm_lr=0.05, weight_decay=0.2)
    y, phi = jnp.array([1.0, -2.0, 0.5]), jnp.array([0.3, 0.2, 0.1])
    leader = Leader(Leverage(weight=0.7), policy_lr=0.1, policy_steps=2)
    after = jax.jit(iterate)(game, leader, follower, State(y, RewardModel(phi)), key, 0.0)
    H, theta = 2.0 * np.outer(y, y) + 4.0 * np.eye(3), np.asarray(y)
    for _ in range(2):
        theta = theta + 0.1 * (np.asarray(phi) - 0.2 * theta - 1.4 * np.linalg.solve(H, theta))
    np.testing.assert_allclose(after.theta, theta, rtol=1e-12)


def test_the_root_has_derivative_0_at_no_leverage(key):
    game, follower = Linear(dimension=3), Gradient(weight_decay=0.1)  # θ = 0: ∇r = y = 0
    model = RewardModel(jnp.array([0.3, 0.2, 0.1]))
    for objective in (Leverage(form="root"), Pessimistic()):
        gradient = jax.grad(lambda t, o=objective: o.value(game, follower, t, model, key))(jnp.zeros(3))
        np.testing.assert_array_equal(gradient, model.phi)


@pytest.mark.parametrize(
    "objective", [Leverage(), Leverage(form="root"), Leverage(form="bounded"), Pessimistic()]
)
def test_weight_0_is_myopic(objective, key):
    follower = BestResponse(ridge=0.1, alpha=0.3)
    game, theta, model = at_random(SMALL["bandit"], follower, key)
    objectives = (objective.replace(weight=0.0), Myopic())
    values = [o.value(game, follower, theta, model, key) for o in objectives]
    assert values[0] == values[1]
    gradients = [o.estimate(game, follower, theta, model, key).gradient for o in objectives]
    np.testing.assert_array_equal(*gradients)


def test_other_weights_and_damping_compile_nothing(key):
    follower, keys = BestResponse(ridge=0.1, alpha=0.3), key
    for cls in (Leverage, Pessimistic):
        go = lambda o: run_seed(SMALL["bandit"], Leader(o), follower, keys, steps=2)  # noqa: E731
        go(cls(weight=0.1, damping=0.1))
        with compilations() as names:
            go(cls(weight=0.2, damping=0.3))
        assert names == []


def test_a_singular_curvature_is_refused_at_the_start(key):
    # one response in three dimensions, no decay: H = 2 y yᵀ
    for objective, name in ((Leverage(), "leverage"), (Pessimistic(), "pessimistic")):
        said = f"objective = {name}: must be given a damping > 0, or a larger one: the curvature"
        leader, follower = Leader(objective), Gradient(weight_decay=0.0)
        require_named(said, lambda x=leader, f=follower: run_seed(Linear(dimension=3), x, f, key, steps=1))
        damped = Leader(objective.replace(damping=0.1))
        run_seed(Linear(dimension=3), damped, follower, key, steps=1)


@struct.dataclass
class Silent(BestResponse):
    """A follower that does not say what it trains on."""

    def training(self, game, theta, reward_model, key):
        return None


def test_a_follower_that_does_not_say_what_it_trains_on_is_refused(key):
    game = SMALL["bandit"].draw(key)
    theta, phi = game.init(key)
    require_named(
        "follower = silent: must be one with a method `training`",
        lambda: Leverage().value(game, Silent(), theta, RewardModel(phi, memory=phi), key),
    )
