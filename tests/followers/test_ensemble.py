"""Ensembles: what members are trained on, what their rewards make together, and steering through both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import (
    BestResponse,
    Exact,
    Gradient,
    Implicit,
    Leader,
    Myopic,
    Preferences,
    Relaxed,
    RewardModel,
    outcome,
    run_seed,
    run_seeds,
    seed_keys,
)
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.linear import Linear
from fpo_jax.errors import InputError
from fpo_jax.expect import expect
from fpo_jax.followers import Converged, Ensemble, Optax
from fpo_jax.hyperparameters import validate
from fpo_jax.objectives import EffectiveReward
from fpo_jax.objectives.leverage import curvature
from fpo_jax.steering import foresighted_value, norm, steering
from fpo_jax.testing.checks import central_difference
from fpo_jax.wrappers import COMBINED
from tests.helpers import away_from_the_start, compilations, draw, relative_error, require_named

BEST = BestResponse(ridge=0.1, alpha=0.3)
ARMS = Bandit(ordinary=5, planted=2)
ACTION = Linear(dimension=4)


def begun(environment, follower, key):
    """A game as the ensemble faces it, and a state away from any special point."""
    game = follower.faced(draw(environment, key))
    return game, *away_from_the_start(game, follower, key)


CASES = {
    **{combine: (ARMS, Ensemble(members=3, combine=combine, member=BEST), 1) for combine in COMBINED},
    "descent from three starts": (
        ACTION,
        Ensemble(members=3, combine="uncertainty", differ="start", member=Gradient(rm_lr=0.02, rm_steps=2)),
        2,
    ),
    "buffers of their own": (
        ACTION,
        Ensemble(members=2, combine="worst", member=Optax(rm_lr=0.02, draws=2, buffer_size=3, replay="fifo")),
        2,
    ),
}


QUICK = ("worst", "uncertainty")


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=() if c in QUICK else pytest.mark.slow) for c in CASES]
)
def test_standard_plus_steering_is_the_gradient_of_F(case, key):
    environment, follower, horizon = CASES[case]

    @jax.jit
    def both():
        game, theta, model = begun(environment, follower, key)
        parts = steering(game, follower, theta, model, key, horizon)
        difference = central_difference(
            lambda t: foresighted_value(game, follower, t, model, key, horizon), theta
        )
        return parts.gradient, parts.steering, difference

    total, steered, difference = both()
    assert norm(steered) > 1e-6
    assert relative_error(total, difference) < 1e-6


@pytest.mark.slow
def test_standard_plus_steering_is_the_gradient_of_F_on_preferences(contextual_state, key):
    game, theta, _ = contextual_state
    follower = Ensemble(
        members=2, combine="worst", member=BestResponse(ridge=0.1, alpha=0.3, feedback=Preferences())
    )

    @jax.jit
    def both():
        faced = follower.faced(game)
        model = follower.init(faced, theta, faced.init(key)[1], key)
        total = steering(faced, follower, theta, model, key).gradient
        return total, central_difference(lambda t: foresighted_value(faced, follower, t, model, key), theta)

    assert relative_error(*both()) < 1e-6


def test_averaging_the_weights_of_linear_members_is_averaging_their_rewards(key):
    # (1/n) Σ φ_i·g = ((1/n) Σ φ_i)·g: the same F, and the same two parts of its gradient (WARM).
    def of(combine):
        follower = Ensemble(members=3, combine=combine, member=BEST)

        @jax.jit
        def parts():
            game, theta, model = begun(ARMS, follower, key)
            rewards = jax.vmap(lambda y: game.reward(model.phi, y))(game.game.arms)
            return rewards, *steering(game, follower, theta, model, key)

        return parts()

    for ours, theirs in zip(of("weights"), of("mean"), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_members_that_differ_by_their_start_are_each_retrained_alone(key):
    inner = Gradient(rm_lr=0.02, rm_steps=2, weight_decay=0.01)
    follower = Ensemble(members=3, differ="start", member=inner)
    game = follower.faced(ACTION)
    _, phi = game.init(key)
    assert len({float(row[0]) for row in phi}) == 3
    theta = jnp.array([1.0, 0.2, -0.3, 0.5])
    model = follower.init(game, theta, phi, key)
    found = follower.update(game, theta, model, key).phi
    for own, begun_at in zip(found, phi, strict=True):
        alone = inner.update(ACTION, theta, RewardModel(begun_at), key).phi
        np.testing.assert_allclose(own, alone, rtol=1e-14)


def test_exact_foresight_of_one_response_is_the_relaxed_penalty_of_the_calibrated_weight(key):
    # r̄⁺ = r̄ − 2 lr (r̄ − U) ‖y‖² after one step of each member, and ‖∇ r̄‖² = ‖y‖²/n: the weight is 2 lr n.
    follower = Ensemble(members=3, differ="start", member=Gradient(rm_lr=0.02))
    weight = follower.calibrated_weight(1)
    assert weight == pytest.approx(3 * 2 * 0.02)
    game, theta, model = begun(ACTION, follower, key)
    exact, relaxed = (
        objective.estimate(game, follower, theta, model, key).gradient
        for objective in (Exact(), Relaxed(weight=weight))
    )
    np.testing.assert_allclose(exact, relaxed, rtol=1e-12)
    # where the worst is one member's, it moves by its own step alone: the weight is the member's
    worst = follower.replace(combine="worst")
    game = worst.faced(ACTION)
    exact, relaxed = (
        objective.estimate(game, worst, theta, model, key).gradient
        for objective in (Exact(), Relaxed(weight=worst.calibrated_weight(1)))
    )
    np.testing.assert_allclose(exact, relaxed, rtol=1e-12)
    assert follower.replace(combine="uncertainty").calibrated_weight(1) is None
    assert Ensemble(member=BEST).calibrated_weight(1) is None


def test_the_implicit_gradient_is_the_exact_one(key):
    follower = Ensemble(members=2, combine="uncertainty", member=BEST)

    @jax.jit
    def both():
        game, theta, model = begun(ARMS, follower, key)
        implicit = Implicit().estimate(game, follower, theta, model, key).gradient
        return implicit, steering(game, follower, theta, model, key).gradient

    assert relative_error(*both()) < 1e-10


def test_the_leverage_of_a_mean_is_that_of_one_member(key):
    # On ∇ r̄ = (g/n, …, g/n) the curvature Σ w ℓ'' ∇r̄ ∇r̄ᵀ + ridge/n acts as (A + ridge)/n on g; so gᵀ(A +
    # ridge)⁻¹ g comes out for one reward model and for n alike.
    inner = Gradient(rm_lr=0.02, weight_decay=0.01)
    follower = Ensemble(members=3, differ="start", member=inner)
    game, theta, model = begun(ACTION, follower, key)
    y = jnp.array([0.3, -1.0, 0.4, 0.2])

    def leverage(game, follower, model):
        g = game.gradient_features(model.phi, y)
        return g @ jnp.linalg.solve(curvature(game, follower, theta, model, key), g)

    alone = leverage(ACTION, inner, RewardModel(model.phi[0]))
    np.testing.assert_allclose(leverage(game, follower, model), alone, rtol=1e-11)


def test_the_limit_of_an_ensemble_is_that_of_its_members(key):
    follower = Ensemble(members=2, member=BEST)
    game, theta, model = begun(ARMS, follower, key)
    np.testing.assert_allclose(
        follower.limit(game, theta, model, key).phi, follower.update(game, theta, model, key).phi, rtol=1e-14
    )


@pytest.mark.slow
def test_what_members_remember_and_train_on_is_the_mean_of_their_weights(key):
    follower = Ensemble(members=2, member=Optax(rm_lr=0.01, draws=3, buffer_size=4, replay="fifo"))
    game = follower.faced(ACTION)
    theta = jnp.ones(4)
    model = follower.init(game, theta, game.init(key)[1], key)
    for update_key in jax.random.split(key):
        model = follower.update(game, theta, model, update_key)
    items = follower.labelled(game, theta, model, update_key)
    own = model.memory.own.buffer.w[:, -follower.member.draws :]
    np.testing.assert_allclose(items.w, np.mean(own.reshape(2, -1), axis=0) / follower.member.draws)
    assert follower.brings_anchor is False


def test_members_are_one_traced_program(key):
    def equations(members):
        follower = Ensemble(members=members, member=BEST)
        game = follower.faced(draw(ARMS, key))
        theta, phi = game.init(key)
        model = follower.init(game, theta, phi, key)
        jaxpr = jax.make_jaxpr(lambda t: steering(game, follower, t, model, key).gradient)(theta)
        return str(jaxpr).count(" = ")

    assert equations(2) == equations(7)


def test_another_price_of_disagreement_compiles_nothing():
    def run(disagreement):
        follower = Ensemble(members=2, combine="uncertainty", disagreement=disagreement, member=BEST)
        leader = Leader(Myopic(), policy_lr=1.0)
        return run_seeds(ARMS, leader, follower, seed_keys(2), steps=3, record=outcome)[1].metrics[
            "true_utility"
        ]

    first = np.asarray(run(0.5))
    with compilations() as compiled:
        second = np.asarray(run(20.0))
    assert compiled == []
    assert np.all(first[:, -1] != second[:, -1])


SETTINGS = {
    "one member": (Ensemble(members=1), "members = 1: must be an integer >= 2"),
    "an ensemble of ensembles": (
        Ensemble(member=Ensemble()),
        "member = ensemble: must be an instance of a follower that is not itself an ensemble",
    ),
    "no follower": (Ensemble(member=Preferences()), "member = preferences: must be"),
    "a member out of range": (Ensemble(member=BestResponse(ridge=-1.0)), "ridge = -1.0: must be"),
    "forgotten starts": (
        Ensemble(differ="start", member=BEST),
        "differ = start: must be data, unless the members are anchored",
    ),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_bad_settings(case):
    follower, complaint = SETTINGS[case]
    require_named(complaint, lambda: validate(follower))


def test_starts_may_differ_where_the_answer_depends_on_them():
    validate(Ensemble(differ="start", member=BestResponse(ridge=0.1, anchored=True)))
    validate(Ensemble(differ="start", member=Converged(ridge=0.1)))


def test_what_a_run_of_an_ensemble_cannot_be(key):
    leader, follower = Leader(Myopic(), policy_lr=1.0), Ensemble(members=15, member=BEST)
    require_named(
        "members = 15: must be at most the 14 items of an update",
        lambda: run_seed(ARMS, leader, follower, key, steps=1),
    )
    alike = Ensemble(differ="start", member=Gradient(alpha=0.3))
    require_named(
        "differ = start: must be data: this environment has the same φ₀ for every key",
        lambda: run_seed(ARMS, leader, alike, key, steps=1),
    )
    game = draw(ARMS, key)
    require_named(
        "game = BanditGame: must be ensemble.faced(game)",
        lambda: follower.init(game, *game.init(key), key),
    )
    faced = follower.faced(game)
    with pytest.raises(InputError, match=r"reward_model.memory = \(\): must be what Ensemble.init returns"):
        follower.update(faced, *map(jnp.zeros, [7]), RewardModel(jnp.zeros((15, 2))), key)


def test_an_effective_reward_of_an_ensemble_is_refused(key):
    follower = Ensemble(members=2, member=BEST)
    game, theta, model = begun(ARMS, follower, key)
    require_named(
        "follower = ensemble: must be one that depends on the policy only through its items",
        lambda: EffectiveReward().estimate(game, follower, theta, model, key),
    )


def test_a_run_ends_at_the_reward_that_the_ensemble_pays(key):
    follower = Ensemble(members=3, combine="worst", member=BEST)
    state, trace = run_seed(ARMS, Leader(Myopic(), policy_lr=1.0), follower, key, steps=4, record=outcome)
    assert state.reward_model.phi.shape == (3, 2)
    game = follower.faced(draw(ARMS, key))
    proxy = expect(lambda y: game.reward(state.reward_model.phi, y), game.respond(state.theta, key))
    np.testing.assert_allclose(trace.metrics["proxy_reward"][-1], proxy, rtol=1e-12)
