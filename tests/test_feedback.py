"""Preferences: the annotator, the Bradley–Terry follower, penalties on pairs, and what an oracle knows."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from jax.flatten_util import ravel_pytree
from scipy.optimize import brentq
from scipy.special import expit

from fpo_jax import (
    BestResponse,
    Exact,
    Game,
    Gradient,
    Informed,
    InputError,
    Labels,
    Leader,
    Myopic,
    Practical,
    Preferences,
    Proximal,
    Relaxed,
    Responses,
    RewardModel,
    ScoreFunction,
    Tracin,
    run_seed,
)
from fpo_jax.envs.contextual import Contextual
from fpo_jax.envs.linear import Linear
from fpo_jax.envs.neural import Neural
from fpo_jax.envs.parts.contextual_game import from_tables
from fpo_jax.expect import training_data
from fpo_jax.feedback import Comparison, recorded
from fpo_jax.followers import Optax
from fpo_jax.numerics.keys import named_key
from fpo_jax.objectives.penalties import Fpo
from fpo_jax.objectives.routes import EffectiveReward, Implicit
from fpo_jax.steering import foresight_keys, foresighted_value, norm, steering
from fpo_jax.testing.checks import central_difference

SMALL = Contextual(prompts=2, trapped=1, ordinary=2, traps=1, topics=1)
FOLLOWERS = {
    "best response, against itself": BestResponse(ridge=0.05, alpha=0.3, feedback=Preferences()),
    "gradient, against the reference": Gradient(
        rm_lr=0.3, alpha=0.3, feedback=Preferences(opponent="reference", label_noise=0.1, tie_margin=0.05)
    ),
    "gradient, 3 steps": Gradient(rm_lr=0.3, alpha=0.5, rm_steps=3, feedback=Preferences()),
    "optax": Optax(
        optimizer="sgd", rm_lr=0.1, alpha=0.5, draws=2, buffer_size=3, replay="fifo", feedback=Preferences()
    ),
}
HARD = Preferences(labels="hard", blind_spot_bias=0.3)


def away_from_the_start(game, follower, key):
    theta, phi = game.init(key)
    theta = theta + 0.5 * jax.random.normal(key, theta.shape)
    return theta, follower.init(game, theta, phi + 0.3 * jax.random.normal(key, phi.shape), key)


@pytest.fixture(scope="module")
def state():
    """A small game, θ away from its start, and a reward model that is no best response."""
    key = jax.random.key(3)
    game = jax.jit(SMALL.draw)(key)
    return game, *away_from_the_start(game, Gradient(), key)


def by_hand(game, theta, opponent):
    """Weights of all pairs, their features and p* at the default temperature, from the formulas alone."""
    psi, u = np.asarray(game.candidates.features), np.asarray(game.candidates.quality)
    reference = np.exp(game.log_reference)
    policy = reference * np.exp(theta)
    policy = policy / policy.sum(axis=1, keepdims=True)
    other = {"policy": policy, "reference": reference}[opponent]
    rows = [
        (policy[x, a] * other[x, b] / len(u), psi[x, a], psi[x, b], expit((u[x, a] - u[x, b]) / 0.25))
        for x, a, b in np.ndindex(*u.shape, u.shape[1])
    ]
    return tuple(map(np.array, zip(*rows, strict=True)))


@pytest.mark.parametrize("opponent", ["policy", "reference"])
def test_relaxed_and_practical_are_the_published_formulas_for_pairs(opponent, state, key):
    # J − weight · E[(p_φ − p*) ⟨∇r(y), ∇r(y) − ∇r(y')⟩], and with 1 in place of p_φ − p*; ∇r = ψ.
    game, theta, model = state
    follower = Gradient(feedback=Preferences(opponent=opponent))
    w, psi, other, p = by_hand(game, theta, opponent)
    inner = np.sum(psi * (psi - other), axis=1)
    residual = expit((psi - other) @ np.asarray(model.phi)) - p
    value = w @ (psi @ np.asarray(model.phi)) - float(game.cost(theta, game.respond(theta, key)))
    for objective, penalty in ((Relaxed(weight=0.7), residual * inner), (Practical(weight=0.7), inner)):
        ours = objective.value(game, follower, theta, model, key)
        np.testing.assert_allclose(ours, value - 0.7 * w @ penalty, rtol=1e-12)
    mean = w @ psi  # ḡ: TracIn has it in place of ∇r(y)
    expected = value - 0.7 * w @ (residual * ((psi - other) @ mean))
    # J's own gradient by φ is ḡ, since the cost does not depend on φ
    np.testing.assert_allclose(
        Tracin(weight=0.7).value(game, follower, theta, model, key), expected, rtol=1e-12
    )


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n.startswith("best") else n for n in FOLLOWERS]
)
def test_standard_plus_steering_is_the_gradient_of_F(name, key):
    follower = FOLLOWERS[name]

    @jax.jit
    def three_ways(key):
        game = SMALL.draw(key)
        theta, model = away_from_the_start(game, follower, key)

        def F(t):
            return foresighted_value(game, follower, t, model, key)

        parts = steering(game, follower, theta, model, key)
        implicit = (
            [Implicit(), EffectiveReward()]
            if follower.feedback == Preferences() and isinstance(follower, BestResponse)
            else []
        )
        routes = [route.estimate(game, follower, theta, model, key).gradient for route in implicit]
        return parts, central_difference(F, theta), routes

    parts, difference, routes = three_ways(key)
    assert norm(parts.steering) > 1e-5  # else the equality would say nothing about steering
    np.testing.assert_allclose(parts.gradient, difference, atol=1e-6 * np.abs(difference).max())
    for gradient in routes:  # the implicit function theorem, and the effective reward of a comparison
        np.testing.assert_allclose(gradient, parts.gradient, atol=1e-9)


def test_the_best_response_is_stationary_on_preferences(state, key):
    # Σ μ (σ(m) − p*) (ψ − ψ') + 2 λ φ = 0, the offline pairs weighing 1 − α and the policy's α.
    game, theta, _ = state
    follower = FOLLOWERS["best response, against itself"]
    phi = np.asarray(best_response(game, theta, key, Preferences()))
    data = training_data(game, theta, 0.3, key, follower.feedback)
    np.testing.assert_allclose(np.sum(data.w), 1.0, rtol=1e-12)
    difference = np.asarray(data.y.y.features - data.y.other.features)
    slope = (data.w * (expit(difference @ phi) - data.y.preferred)) @ difference + 2 * 0.05 * phi
    np.testing.assert_allclose(slope, 0.0, atol=1e-12)
    assert np.linalg.norm(phi) > 0.1
    w, psi, other, p = by_hand(game, theta, "policy")  # what stands after the 2 · 9 offline pairs
    np.testing.assert_allclose(data.w[-18:], 0.3 * w, rtol=1e-12)
    np.testing.assert_allclose(data.y.preferred[-18:], p, rtol=1e-12)
    np.testing.assert_allclose(difference[-18:], psi - other, rtol=1e-12)


@struct.dataclass
class AgainstReference(Linear):
    """The linear environment with a fixed response to compare with."""

    def reference(self):
        return Responses(0.5 * jnp.ones((1, self.dimension)), jnp.ones(1))


ONE_PAIR = AgainstReference(dimension=4)


def test_one_step_on_one_pair_makes_exact_equal_relaxed_at_the_learning_rate(key):
    # φ⁺ = φ − lr (p_φ − p*)(y − y') and J = φ·y − cost: F = J − lr (p_φ − p*) ⟨y, y − y'⟩, term by term.
    feedback = Preferences(opponent="reference")
    follower = Gradient(rm_lr=0.05, feedback=feedback)
    theta, phi = jax.random.normal(key, (2, 4))
    assert follower.calibrated_weight(1) == 0.05
    objectives = (
        Exact(),
        Relaxed(weight=0.05),
        Exact(utility="detached"),
        Relaxed(weight=0.05, utility="detached"),
    )
    gradients = jax.jit(
        lambda: [o.estimate(ONE_PAIR, follower, theta, RewardModel(phi), key).gradient for o in objectives]
    )()
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-12)
    np.testing.assert_allclose(gradients[2], gradients[3], rtol=1e-12)
    assert norm(gradients[0] - gradients[2]) > 1e-4


def within_4_standard_errors(draws, expected):
    error = np.std(draws, axis=0, ddof=1) / np.sqrt(len(draws))
    assert np.all(error > 0)
    assert np.all(np.abs(np.mean(draws, axis=0) - expected) < 4 * error)


def test_hard_labels_are_soft_ones_on_average_even_where_responses_move(key):
    # One gradient step is linear in the label, so that E over labels of the exact gradient is that of p*:
    # with the score of the label, through which it depends on θ by U(y).
    theta, phi = jax.random.normal(key, (2, 4))

    def estimate(labels, k):
        feedback = Preferences(labels=labels, opponent="reference", annotator_temperature=2.0)
        follower = Gradient(rm_lr=0.5, feedback=feedback)
        return Exact().estimate(ONE_PAIR, follower, theta, RewardModel(phi), k).gradient

    draws = jax.jit(jax.vmap(partial(estimate, "hard")))(jax.random.split(key, 4000))
    within_4_standard_errors(np.asarray(draws), estimate("soft", key))


def sampled_gradient(game, follower, theta, model, key):
    return ScoreFunction(samples=20).estimate(game, follower, theta, model, key).gradient


@pytest.mark.slow
@pytest.mark.parametrize("feedback", [Preferences(), HARD], ids=["soft", "hard"])
def test_sampled_pairs_estimate_the_exact_gradient(feedback, state, key):
    # F is linear in φ⁺, which one step makes linear in the data: evaluation and data are separate samples.
    game, theta, model = state
    follower = Gradient(rm_lr=0.5, alpha=0.5, feedback=feedback)
    estimate = jax.jit(jax.vmap(partial(sampled_gradient, game, follower, theta, model)))
    soft = follower.replace(feedback=feedback.replace(labels="soft"))
    exact = Exact().estimate(game, soft, theta, model, key).gradient
    within_4_standard_errors(np.asarray(estimate(jax.random.split(key, 4000))), exact)


@jax.jit
def best_response(game, theta, key, feedback):
    return BestResponse(ridge=0.05, alpha=0.3, feedback=feedback).init(game, theta, jnp.zeros(3), key).phi


def test_limits_of_the_annotator(state, key):
    game, theta, _ = state

    def phi(**annotator):
        return best_response(game, theta, key, Preferences(**annotator))

    # T → ∞, or labels turned round half of the time: p* = ½ throughout, so that φ = 0 is stationary
    np.testing.assert_allclose(phi(annotator_temperature=1e12), 0.0, atol=1e-11)
    np.testing.assert_allclose(phi(label_noise=0.5), 0.0, atol=1e-12)
    np.testing.assert_allclose(phi(tie_margin=10.0), 0.0, atol=1e-12)
    # T → 0: the better of two is preferred with certainty, and a response ties with itself
    certain = phi(labels="hard", annotator_temperature=0.0)
    np.testing.assert_allclose(phi(annotator_temperature=1e-12), certain, rtol=1e-8)
    assert norm(certain) > 0.1
    # a bias toward the trap makes its reward higher than it was
    trap = np.asarray(game.candidates.features[1, 2])
    assert trap @ np.asarray(phi(blind_spot_bias=1.0)) > trap @ np.asarray(phi())


def test_with_one_response_per_prompt_there_is_nothing_to_prefer_nor_to_steer(key):
    # every pair is of a response with itself, of which ∇m = 0: φ⁺ stays at its anchor whatever the policy
    game = from_tables(jax.random.normal(key, (3, 1, 2)), [[0.1], [0.5], [0.9]])
    follower = BestResponse(ridge=0.05, feedback=Preferences())
    theta, model = jnp.zeros((3, 1)), RewardModel(jnp.zeros(2), jnp.zeros(2))
    parts = jax.jit(
        lambda: (follower.update(game, theta, model, key), steering(game, follower, theta, model, key))
    )()
    np.testing.assert_array_equal(parts[0].phi, 0.0)
    np.testing.assert_array_equal(parts[1].steering, 0.0)


def test_the_proximal_residual_is_that_after_an_implicit_step():
    feedback = Preferences()
    after = jax.jit(jax.vmap(feedback.residual_after))
    slope = jax.jit(jax.vmap(jax.grad(feedback.residual_after, argnums=2)))
    m, p, s = (x.ravel() for x in np.meshgrid([-30.0, -2.0, 0.0, 5.0], [0.02, 0.5, 0.98], [0.0, 0.3, 1e3]))
    root = [
        brentq(lambda x, at=at: x + at[2] * (expit(x) - at[1]) - at[0], -2000, 2000, xtol=1e-14)
        for at in zip(m, p, s, strict=True)
    ]
    np.testing.assert_allclose(after(m, p, s), expit(root) - p, atol=1e-12)
    # by the implicit function theorem dx/ds = −(σ − p*) / (1 + s σ'), dσ/ds = σ' dx/ds
    sigma = expit(root)
    expected = -(sigma - p) * sigma * (1 - sigma) / (1 + s * sigma * (1 - sigma))
    np.testing.assert_allclose(slope(m, p, s), expected, atol=1e-10)


def test_the_proximal_penalty_tends_to_the_relaxed_one(state, key):
    game, theta, model = state
    follower = Gradient(feedback=Preferences())

    def penalty(objective):
        free = objective.replace(weight=0.0).value(game, follower, theta, model, key)
        return (free - objective.value(game, follower, theta, model, key)) / objective.weight

    np.testing.assert_allclose(penalty(Proximal(weight=1e-7)), penalty(Relaxed(weight=1e-7)), rtol=1e-5)
    assert abs(penalty(Proximal(weight=100.0))) < 0.1 * abs(penalty(Relaxed(weight=100.0)))


def test_the_tangent_kernel_of_a_game_is_the_inner_product_of_gradients(key):
    game = Neural(dimension=3, rm_hidden="4,3")
    _, phi = game.init(key)
    y, other = jax.random.normal(key, (2, 3))
    ours, default = jax.jit(
        lambda: (game.tangent_kernel(phi, y, other), Game.tangent_kernel(game, phi, y, other))
    )()
    np.testing.assert_allclose(ours, default, rtol=1e-12)


def test_what_an_oracle_knows_leads_from_practical_to_relaxed(state, key):
    game, theta, model = state
    for feedback in (Preferences(), Gradient().feedback):
        follower = Gradient(feedback=feedback)

        def value(objective, follower=follower):
            return objective.value(game, follower, theta, model, key)

        np.testing.assert_allclose(value(Informed(weight=0.7)), value(Relaxed(weight=0.7)), rtol=1e-13)
        np.testing.assert_allclose(
            value(Informed(weight=0.7, oracle_share=0.0)), value(Practical(weight=0.7)), rtol=1e-13
        )
        half = value(Informed(weight=0.7, oracle_share=0.5))
        assert half != value(Relaxed(weight=0.7))
        assert half != value(Practical(weight=0.7))
    # the residual is linear in U for labels: noise s adds weight · s · E[error · ‖ψ‖²]
    every = game.respond(theta, key)
    squares = np.sum(np.asarray(every.y.features) ** 2, axis=1)
    noise = float(every.w @ (every.y.error * squares))
    noisy = value(Informed(weight=0.7, oracle_noise=0.3)) - value(Relaxed(weight=0.7))
    np.testing.assert_allclose(noisy, 0.7 * 0.3 * noise, rtol=1e-10)


def test_residuals_from_the_followers_own_buffer(state, key):
    # The buffer holds (a, b) preferred with 1 and (b, c) with 0: a has the residual of the first, b minus the
    # first's and plus the second's, halved, c minus the second's; all else is unknown and counts 1.
    game, theta, model = state
    follower = Optax(draws=1, feedback=Preferences())
    rows = jax.tree.map(lambda leaf: leaf[0], game.candidates)  # prompt 0: responses a, b, c
    a, b, c = (jax.tree.map(lambda leaf, i=i: leaf[i], rows) for i in range(3))
    first, second = (jax.tree.map(lambda *x: jnp.stack(x), *sides) for sides in ((a, b), (b, c)))
    items = recorded(first, second, [0.9, 0.2])
    buffer = jax.tree.map(lambda leaf: leaf[None], items)
    memory = follower.init(game, theta, model.phi, key).memory._replace(buffer=buffer)
    here = RewardModel(model.phi, memory)
    r = np.asarray(rows.features @ model.phi)
    one, two = expit(r[0] - r[1]) - 0.9, expit(r[1] - r[2]) - 0.2
    known = np.array([one, (two - one) / 2, -two, 1.0, 1.0, 1.0])  # three responses to each of two prompts
    w, psi, other, _ = by_hand(game, theta, "policy")
    penalty = w @ (np.repeat(known, 3) * np.sum(psi * (psi - other), axis=1))
    values = [
        o.value(game, follower, theta, here, key)
        for o in (Informed(weight=0.0), Informed(weight=1.0, source="buffer"))
    ]
    np.testing.assert_allclose(values[0] - values[1], penalty, rtol=1e-10)


FEATURES, UTILITY = np.ones((2, 3, 2)), np.full((2, 3), 0.5)
EVEN = [[1 / 3] * 3] * 2
BAD = {
    "annotator_temperature = 0.0: must be > 0 where labels are soft": lambda key: run_seed(
        SMALL,
        Leader(Relaxed()),
        BestResponse(ridge=0.1, feedback=Preferences(annotator_temperature=0.0)),
        key,
        steps=1,
    ),
    "label_noise = 0.7: must be a finite number >= 0 and <= 0.5": lambda key: run_seed(
        SMALL, Leader(Relaxed()), Gradient(feedback=Preferences(label_noise=0.7)), key, steps=1
    ),
    "opponent = reference: must be policy": lambda key: run_seed(
        Linear(), Leader(Relaxed()), Gradient(feedback=Preferences(opponent="reference")), key, steps=1
    ),
    "comparison 1 = of a response with itself": lambda key: from_tables(
        np.arange(12.0).reshape(2, 3, 2), UTILITY, comparisons=[(0, 1, 2, 0.9), (1, 2, 2, 0.5)]
    ),
    "comparison 0, preferred = 1.0: must be a probability in (0, 1)": lambda key: from_tables(
        np.arange(12.0).reshape(2, 3, 2), UTILITY, comparisons=[(0, 1, 2, 1.0)]
    ),
    "comparison 1 = (1, 2, 3): must be": lambda key: from_tables(
        FEATURES, UTILITY, comparisons=[(0, 1, 2, 0.9), (1, 2, 3, 0.5)]
    ),
    "comparisons = of shape (0,): must be one or more": lambda key: from_tables(
        FEATURES, UTILITY, comparisons=[]
    ),
    "reference, prompt 1, response 0 = 0.0: must be > 0": lambda key: from_tables(
        FEATURES, UTILITY, reference=[EVEN[0], [0.0, 0.5, 0.5]]
    ),
    "reference, prompt 1 = summing to 1.5: must be": lambda key: from_tables(
        FEATURES, UTILITY, reference=[EVEN[0], [0.5, 0.5, 0.5]]
    ),
    "offline data, prompt 1 = empty": lambda key: from_tables(
        FEATURES, UTILITY, covered=[EVEN[0], [0.0, 0.0, 0.0]]
    ),
    "reference_leak = 1.0: must be < 1": lambda key: run_seed(
        Contextual(reference_leak=1.0), Leader(Relaxed()), Gradient(), key, steps=1
    ),
    "trapped = 9: must be <= prompts": lambda key: run_seed(
        Contextual(trapped=9), Leader(Relaxed()), Gradient(), key, steps=1
    ),
    "oracle = Linear: must be an environment that draws": lambda key: run_seed(
        Linear(), Leader(Informed()), Gradient(), key, steps=1
    ),
    "follower = gradient: must be one that remembers": lambda key: run_seed(
        SMALL, Leader(Informed(source="buffer")), Gradient(), key, steps=1
    ),
    "follower = BestResponse: must be given a ridge > 0": lambda key: run_seed(
        from_tables(FEATURES, UTILITY), Leader(Relaxed()), BestResponse(feedback=Preferences()), key, steps=1
    ),
}


@pytest.mark.parametrize("complaint", BAD)
def test_bad_input(complaint, key):
    with pytest.raises(InputError) as caught:
        BAD[complaint](key)
    assert str(caught.value).startswith(complaint)
    assert "\n" not in str(caught.value)


def test_recorded_comparisons_stand_in_for_the_annotators(key):
    features = jax.random.normal(key, (2, 3, 2))
    game = from_tables(features, UTILITY, comparisons=[(0, 1, 2, 0.9), (1, 0, 2, 0.2)])
    items = Preferences().offline(game, key)
    np.testing.assert_array_equal(items.y.preferred, [0.9, 0.2])
    np.testing.assert_array_equal(items.y.other.features, features[[0, 1], [2, 2]])
    np.testing.assert_array_equal(items.w, [0.5, 0.5])


def test_a_response_is_compared_with_another_one(key):
    # A policy that is sampled meets a second sample of itself: y' has a key of its own, so that y' ≠ y.
    game, theta = Neural(dimension=3, rm_hidden="4", responses=2), jnp.arange(3.0)
    follower = Gradient(feedback=Preferences())
    data = training_data(game, theta, 1.0, key, follower.feedback)
    assert np.all(np.abs(data.y.y - data.y.other) > 1e-6)
    other = game.respond(theta, named_key(key, "opponent")).y
    np.testing.assert_array_equal(data.y.other, np.tile(other, (2, 1)))  # y_i with each y'_j, i first
    np.testing.assert_array_equal(data.y.y, np.repeat(game.respond(theta, key).y, 2, axis=0))


def test_the_influence_of_a_pair_is_made_of_inner_products_of_gradients(key):
    # ⟨∇r, ∇r − ∇r'⟩ and ‖∇r − ∇r'‖², from the gradients themselves
    game = Neural(dimension=3, rm_hidden="4,3")
    _, phi = game.init(key)
    y, other = jax.random.normal(key, (2, 3))
    item = Comparison(y, other, jnp.array(0.3), jnp.array(1.0))
    mine, theirs = (ravel_pytree(jax.grad(game.reward)(phi, side))[0] for side in (y, other))
    found = Preferences().influence(game, phi, item)
    expected = (
        game.reward(phi, y),
        game.reward(phi, y) - game.reward(phi, other),
        mine @ (mine - theirs),
        (mine - theirs) @ (mine - theirs),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_the_proximal_penalty_on_pairs_by_hand(state, key):
    # J − κ E[(σ(x) − p*) ⟨ψ, ψ − ψ'⟩] with x + κ ‖ψ − ψ'‖² (σ(x) − p*) = m: the step moves the margin.
    game, theta, model = state
    kappa = 4.0
    w, psi, other, p = by_hand(game, theta, "policy")
    margin, moves = (psi - other) @ np.asarray(model.phi), kappa * np.sum((psi - other) ** 2, axis=1)
    after = [
        brentq(lambda x, at=at: x + at[2] * (expit(x) - at[1]) - at[0], -2000, 2000, xtol=1e-14)
        for at in zip(margin, p, moves, strict=True)
    ]
    penalty = (expit(after) - p) * np.sum(psi * (psi - other), axis=1)
    value = w @ (psi @ np.asarray(model.phi)) - float(game.cost(theta, game.respond(theta, key)))
    follower = Gradient(feedback=Preferences())
    found = Proximal(weight=kappa).value(game, follower, theta, model, key)
    np.testing.assert_allclose(found, value - kappa * w @ penalty, rtol=1e-11)


def test_fpo_with_part_of_an_oracle_by_hand_on_labels_and_on_preferences(state, key):
    # J − 0.7 E[(1 − o + o · residual) · influence], o = 0.3
    game, theta, model = state
    phi, psi_all = np.asarray(model.phi), np.asarray(game.candidates.features).reshape(6, 3)
    w, psi, other, p = by_hand(game, theta, "policy")
    every = np.asarray(game.respond(theta, key).w)
    utility = np.asarray(game.candidates.quality).ravel()
    residuals = {
        "labels": (every, psi_all @ phi - utility, np.sum(psi_all**2, axis=1)),
        "preferences": (w, expit((psi - other) @ phi) - p, np.sum(psi * (psi - other), axis=1)),
    }
    value = every @ psi_all @ phi - float(game.cost(theta, game.respond(theta, key)))
    for feedback in (Labels(), Preferences()):
        weights, residual, influence = residuals[type(feedback).__name__.lower()]
        penalty = weights @ ((0.7 + 0.3 * residual) * influence)
        found = Fpo(weight=0.7, oracle=0.3).value(game, Gradient(feedback=feedback), theta, model, key)
        np.testing.assert_allclose(found, value - 0.7 * penalty, rtol=1e-12)


def test_kl_is_to_the_reference_policy(state, key):
    # Σ_x ρ(x) Σ_a π (log π − log π_ref), with a reference that is far from uniform
    _, theta, _ = state
    game = from_tables(
        jnp.ones((2, 3, 1)), UTILITY, reference=[[0.7, 0.2, 0.1], [0.05, 0.05, 0.9]], kl_weight=0.3
    )
    reference = np.exp(game.log_reference)
    policy = reference * np.exp(theta)
    policy /= policy.sum(axis=1, keepdims=True)
    kl = np.mean(np.sum(policy * np.log(policy / reference), axis=1))
    np.testing.assert_allclose(game.diagnostics(theta)["kl"], kl, rtol=1e-12)
    np.testing.assert_allclose(game.cost(theta, game.respond(theta, key)), 0.3 * kl, rtol=1e-12)
    np.testing.assert_allclose(game.diagnostics(0 * theta)["kl"], 0.0, atol=1e-15)


HARD_PAIR = Preferences(labels="hard", opponent="reference")


def test_a_drawn_label_leaves_alone_what_does_not_depend_on_it(key):
    # The label's score multiplies its residual only. So weight 0 is RLHF, practical FPO does not know U, and
    # relaxed FPO differs by −weight · (p_φ − label) ⟨∇r, ∇m⟩, whose gradient has the score as a factor:
    # with P = 1[label] p* + (1 − 1[label]) (1 − p*), d log P/dy = ± p*(1 − p*)/P · ∇U / T.
    theta, phi = jax.random.normal(key, (2, 4))
    follower, model = Gradient(feedback=HARD_PAIR), RewardModel(phi)

    def gradient(objective, game=ONE_PAIR, key=key):
        return objective.estimate(game, follower, theta, model, key).gradient

    np.testing.assert_allclose(gradient(Relaxed(weight=0.0)), gradient(Myopic()), rtol=1e-14)
    np.testing.assert_allclose(gradient(Fpo(weight=0.0)), gradient(Myopic()), rtol=1e-14)
    np.testing.assert_allclose(gradient(Proximal(weight=0.0)), gradient(Myopic()), rtol=1e-14)
    # practical: −weight ∇⟨y, y − y'⟩ = −weight (2y − y'), whatever U is
    expected = gradient(Myopic()) - 0.2 * (2 * theta - 0.5)
    np.testing.assert_allclose(gradient(Practical(weight=0.2)), expected, rtol=1e-12)
    # relaxed, by the product rule
    y, other = np.asarray(theta), np.full(4, 0.5)
    u, v = (float(ONE_PAIR.utility(jnp.array(side))) for side in (y, other))
    slope = -2 * 0.3 * u * (y - np.asarray(ONE_PAIR.ideal))
    p = expit((u - v) / 0.25)
    items = HARD_PAIR.gather(ONE_PAIR, theta, ONE_PAIR.respond(theta, key), foresight_keys(key).data)
    said = float(items.y.preferred[0])
    score = (1.0 if said else -1.0) * p * (1 - p) / (p if said else 1 - p) * slope / 0.25
    s = expit(np.asarray(phi) @ (y - other))
    inner, residual = y @ (y - other), s - said
    penalty = s * (1 - s) * np.asarray(phi) * inner + residual * (2 * y - other) + score * residual * inner
    np.testing.assert_allclose(gradient(Relaxed(weight=0.2)), gradient(Myopic()) - 0.2 * penalty, rtol=1e-10)


@struct.dataclass
class Spotted(AgainstReference):
    """With a blind spot that moves with the response, of which the annotator is fond."""

    def blind_spot(self, y):
        return jnp.tanh(jnp.sum(y**2))


def test_by_value_nothing_of_the_residual_is_differentiated_not_even_the_labels_score(key):
    # relaxed less RLHF is −weight · residual · ∇influence, one number times (2y − y')
    theta, phi = jax.random.normal(key, (2, 4))
    follower = Gradient(feedback=HARD_PAIR.replace(blind_spot_bias=2.0))
    relaxed, myopic = (
        o.estimate(Spotted(dimension=4), follower, theta, RewardModel(phi), key).gradient
        for o in (Relaxed(weight=0.2, utility="value"), Myopic())
    )
    ratio = np.asarray(relaxed - myopic) / np.asarray(2 * theta - 0.5)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-10)
