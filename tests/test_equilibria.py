"""Equilibria: held to closed forms, to differences, and to where runs end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from fpo_jax import (
    BestResponse,
    Exact,
    Gradient,
    Leader,
    Limit,
    Myopic,
    Optax,
    Relaxed,
    outcome,
    run_seeds,
    stability,
)
from fpo_jax.engine.initial import instance
from fpo_jax.engine.runs import run_seed
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.contextual import Contextual
from fpo_jax.envs.garnet import Garnet
from fpo_jax.envs.gridworld import Gridworld
from fpo_jax.envs.language import Language
from fpo_jax.envs.linear import Linear
from fpo_jax.envs.neural import Neural
from fpo_jax.equilibria import equilibrium, largest_stable_step
from fpo_jax.feedback import Preferences
from fpo_jax.objectives import Kl, Leverage
from fpo_jax.run import initial_state, iterate
from fpo_jax.testing.performative import (
    Audit,
    BiasedCoin,
    ConcaveTrap,
    LinearMean,
    PrevalenceBandit,
    RidgeRegression,
    World,
    retraining,
)
from fpo_jax.types import RewardModel, State
from tests.helpers import require_named

slow = pytest.mark.slow
KEY = jax.random.key(7)
GAME = Bandit(ordinary=4, planted=2).draw(KEY)
FOLLOWER = BestResponse(alpha=0.3, ridge=0.1)


def mirror(objective, policy_lr=1.0):
    return Leader(objective, policy_lr=policy_lr, rule="mirror")


@pytest.mark.parametrize(
    "game",
    [
        RidgeRegression(),
        ConcaveTrap(),
        pytest.param(BiasedCoin(), marks=slow),
        pytest.param(RidgeRegression(base=10.0, sensitivity=0.9, second_moment=1.0, ridge=0.0), marks=slow),
        pytest.param(ConcaveTrap(gain=0.4), marks=slow),
    ],
    ids=str,
)
def test_retraining_rests_at_the_stable_point_and_foresight_at_the_optimal_one(game):
    start = jnp.asarray(0.3)
    leader = retraining(game)
    stable = equilibrium(game, leader, World(), start, KEY, bounds=game.bounds)
    assert abs(float(stable.theta) - float(game.stable())) < 1e-8
    assert abs(stable.spectral_radius - float(game.slope())) < 1e-8
    assert stable.stable == (game.slope() < 1)
    assert stable.second_order == "maximum"
    # one step of length s/(−J'') maps θ to θ + s (slope − 1)(θ − θ*), which contracts for s < 2/(1 − slope)
    longest = largest_stable_step(game, leader, World(), stable, KEY)
    assert longest == pytest.approx(2.0 / (1.0 - game.slope()) / game.curvature(), rel=1e-8)
    optimal = equilibrium(game, Leader(Exact()), World(), start, KEY, bounds=game.bounds)
    assert abs(float(optimal.theta) - float(game.optimal())) < 1e-8


@slow
def test_a_price_rests_where_nobody_buys_and_foresight_asks_for_half_of_it():
    game = LinearMean(base=3.0, response=-2.0)
    found = [
        equilibrium(game, Leader(objective, policy_lr=0.1), World(), jnp.asarray(0.3), KEY)
        for objective in (Myopic(), Exact())
    ]
    assert abs(float(found[0].theta) - 3 / 2) < 1e-8
    assert abs(float(found[1].theta) - 3 / 4) < 1e-8
    assert found[0].second_order == "flat"  # J = θφ
    assert found[0].spectral_radius == pytest.approx(1 - 0.1 * 2, abs=1e-12)  # θ ← θ + 0.1 (3 − 2θ)


def test_the_worst_point_of_all_is_found_where_it_repels():
    # F = (βε − γ/2)θ² is least at 0: a start near 0 flows to the end of the interval, long steps lead back
    game, start = ConcaveTrap(), jnp.asarray(-0.1)
    ends = [
        equilibrium(game, Leader(Exact()), World(), start, KEY, bounds=game.bounds, repelling=repelling)
        for repelling in (False, True)
    ]
    np.testing.assert_allclose([float(end.theta) for end in ends], [-1.0, 0.0], atol=1e-8)
    assert [end.second_order for end in ends] == ["maximum", "minimum"]
    # one gradient step of 0.02 on 0.3 θ² multiplies by 1 + 0.02 · 0.6
    assert ends[1].spectral_radius == pytest.approx(1.012, abs=1e-12)


@pytest.mark.parametrize("values", [(3.0, 2.0, 1.0, 0.0), pytest.param((1.0, 0.9, 0.5), marks=slow)])
def test_arms_drop_out_where_the_conditions_say(values):
    game = PrevalenceBandit(jnp.array(values))
    start = jnp.zeros(len(values))
    found = [equilibrium(game, mirror(o, 0.1), World(), start, KEY) for o in (Myopic(), Exact())]
    for one, expected in zip(found, (game.stable(), game.optimal()), strict=True):
        given = softmax(one.theta)
        np.testing.assert_allclose(given, expected, atol=1e-8)
        np.testing.assert_array_equal(one.support, np.asarray(expected) > 0)
    if values[0] == 3.0:
        # v − π = (2, 2, 1, 0) at the vertex: a step leaves π₂ as it is, shrinks π₃ and π₄ by e⁻⁰·¹ and e⁻⁰·²
        factors = np.abs(found[0].eigenvalues[:3])
        np.testing.assert_allclose(factors, np.exp([0.0, -0.1, -0.2]), rtol=1e-12)
        assert not found[0].stable


@slow
def test_a_leash_to_the_start_is_the_temperature():
    """KL to the uniform policy by an objective, or as the game's own cost: J differs by nothing."""
    held = GAME.replace(temperature=0.05)
    found = equilibrium(GAME, mirror(Kl(weight=0.03)), FOLLOWER, jnp.zeros(6), KEY)  # its own is 0.02
    same = equilibrium(held, mirror(Myopic()), FOLLOWER, jnp.zeros(6), KEY)
    np.testing.assert_allclose(softmax(found.theta), softmax(same.theta), atol=1e-9)
    np.testing.assert_allclose(found.eigenvalues, same.eigenvalues, atol=1e-9)


@slow
def test_foresight_halves_what_an_audit_punishes():
    found = [equilibrium(Audit(), mirror(o), World(), jnp.zeros(2), KEY) for o in (Myopic(), Exact())]
    utility = [one.metrics["true_utility"] for one in found]
    np.testing.assert_allclose(utility, [3 / 4, 3 / 8], rtol=1e-12)  # 1/κ and 1/(2κ) at κ = 4/3


def by_differences(game, leader, follower, at):
    """Eigenvalues of an iteration in the logits but the last, the last held at 0, and in φ."""
    n, step = at.theta.size, 1e-6

    @jax.jit
    def once(x):
        theta = jnp.concatenate([x[: n - 1], jnp.zeros(1)])
        state = State(theta, RewardModel(x[n - 1 :], at.reward_model.memory))
        after = iterate(game, leader, follower, state, KEY, 0.0)
        return jnp.concatenate([(after.theta - after.theta[-1])[:-1], after.reward_model.phi])

    x = np.concatenate([np.asarray(at.theta - at.theta[-1])[:-1], at.reward_model.phi])
    unit = step * np.eye(x.size)
    columns = [(once(x + e) - once(x - e)) / (2 * step) for e in unit]
    return np.linalg.eigvals(np.array(columns).T)


@pytest.mark.parametrize(
    ("leader", "follower"),
    [
        (Leader(Leverage(weight=0.3), policy_lr=1.0), FOLLOWER),  # its curvature is detached
        pytest.param(mirror(Exact()), FOLLOWER, marks=slow),
        pytest.param(mirror(Relaxed(weight=0.3)), Gradient(rm_lr=0.05, weight_decay=0.01), marks=slow),
        pytest.param(Leader(Limit(), policy_lr=1.0, policy_steps=2), FOLLOWER, marks=slow),
    ],
    ids=["leverage", "exact", "gradient follower", "two steps"],
)
def test_eigenvalues_are_those_of_a_matrix_of_differences(leader, follower):
    game = GAME.replace(temperature=0.2)  # so that eigenvalues lie apart: differences spoil those that do not
    found = equilibrium(game, leader, follower, game.init(KEY)[0], KEY)
    expected = by_differences(game, leader, follower, found)
    for values in (found.eigenvalues, expected):
        assert len(values) == 5 + 2
    gaps = np.abs(found.eigenvalues[:, None] - expected[None, :])
    assert np.max(np.min(gaps, axis=0)) < 1e-6
    assert np.max(np.min(gaps, axis=1)) < 1e-6
    assert found.spectral_radius == pytest.approx(np.max(np.abs(expected)), abs=1e-6)


@slow
def test_leading_eigenvalues_are_found_without_a_matrix(monkeypatch):
    leader = Leader(Leverage(weight=0.3), policy_lr=1.0)
    whole = equilibrium(GAME, leader, FOLLOWER, GAME.init(KEY)[0], KEY)
    monkeypatch.setattr(stability, "DENSE", 3)
    monkeypatch.setattr(stability, "LEADING", 3)
    leading = equilibrium(GAME, leader, FOLLOWER, GAME.init(KEY)[0], KEY)
    np.testing.assert_allclose(leading.eigenvalues, whole.eigenvalues[:3], rtol=1e-9)


def test_collapse_is_no_accident_of_the_path():
    """From the best arm as from the uniform start, and runs end there; foresight moves it."""
    uniform, best = jnp.zeros(6), 8.0 * jax.nn.one_hot(jnp.argmax(GAME.arms.quality), 6)
    leader = mirror(Myopic())
    found = equilibrium(GAME, leader, FOLLOWER, uniform, KEY, starts=(best,))
    assert (found.multiplicity, found.starts) == (1, (0, 1))
    assert found.stable
    assert found.residual < 1e-12
    for start in (uniform, best):
        state = initial_state(GAME, FOLLOWER, KEY, (start, jnp.zeros(2)))
        for _ in range(40):
            state = thirty(leader, state)
        np.testing.assert_allclose(softmax(state.theta), softmax(found.theta), atol=1e-6)
    assert found.metrics["blind_spot_mass"] > 0.5


@jax.jit
def thirty(leader, state):
    """The state after thirty iterations."""
    return jax.lax.fori_loop(0, 30, lambda _, s: iterate(GAME, leader, FOLLOWER, s, KEY, 0.0), state)


def test_runs_leave_it_above_the_largest_stable_step_and_reach_it_below():
    found = equilibrium(GAME, mirror(Myopic()), FOLLOWER, jnp.zeros(6), KEY)
    longest = largest_stable_step(GAME, mirror(Myopic()), FOLLOWER, found, KEY)
    moved = found.theta + 1e-4 * jnp.arange(6.0)
    first = np.max(np.abs(softmax(moved) - softmax(found.theta)))
    ends = []
    for factor in (0.9, 1.1):
        state = initial_state(GAME, FOLLOWER, KEY, (moved, jnp.zeros(2)))
        for _ in range(10):
            state = thirty(mirror(Myopic(), factor * longest), state)
        ends.append(np.max(np.abs(softmax(state.theta) - softmax(found.theta))))
    assert ends[0] < 1e-3 * first
    assert ends[1] > 10 * first


ENDS = {
    # environment, step of the policy, iterations: (1 − lr · τ)ᵀ is below 1e-9
    "bandit": (Bandit(), FOLLOWER, 1.0, 1200),
    "contextual": (Contextual(), BestResponse(alpha=0.1, ridge=0.01, feedback=Preferences()), 1.0, 500),
    "gridworld": (Gridworld(), FOLLOWER, 1.0, 2500),
    "garnet": (Garnet(), FOLLOWER, 1.0, 2500),
}


@slow
@pytest.mark.parametrize("name", ENDS)
def test_mirror_steps_end_at_the_equilibrium(name):
    environment, follower, step, steps = ENDS[name]
    keys, leader = jax.random.split(KEY, 64), mirror(Myopic(), step)
    finals, trace = run_seeds(environment, leader, follower, keys, steps=steps, every=steps, record=outcome)
    draw = jax.jit(lambda key: instance(environment, key))
    for i, key in enumerate(keys):
        game = draw(key)
        final = jax.tree.map(lambda leaf, i=i: leaf[i], finals)
        found = equilibrium(game, leader, follower, game.init(key)[0], key)
        ours, theirs = (game.respond(theta, key).w for theta in (found.theta, final.theta))
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
        assert abs(found.metrics["true_utility"] - float(trace.metrics["true_utility"][i, -1])) < 1e-6
        assert found.stable


@slow
def test_the_linear_environment_rests_where_its_run_does():
    game, follower = Linear(dimension=5), Gradient(weight_decay=1e-4)
    leader = Leader(Relaxed(weight=0.1))
    final, trace = run_seed(game, leader, follower, KEY, steps=60_000, every=60_000, record=outcome)
    found = equilibrium(game, leader, follower, final.theta, KEY)
    np.testing.assert_allclose(found.theta, final.theta, atol=1e-3)  # eigenvalues near 1 − 1e-4
    assert abs(found.metrics["true_utility"] - float(trace.metrics["true_utility"][-1])) < 1e-3


@slow
@pytest.mark.parametrize("policy", ["linear", "mlp"])
def test_policies_without_logits_of_their_own(policy):
    sizes = {"prompts": 2, "trapped": 1, "ordinary": 3, "traps": 1, "topics": 1}
    game = Contextual(policy=policy, **sizes).draw(KEY)
    found = equilibrium(game, Leader(Myopic()), FOLLOWER, game.init(KEY)[0], KEY, finest=1e-7)
    assert found.residual < 1e-9
    if policy == "mlp":  # which gives any policy here, so that the equilibrium is that of logits
        tabular = Contextual(policy="tabular", **sizes).draw(KEY)
        same = equilibrium(tabular, Leader(Myopic()), FOLLOWER, tabular.init(KEY)[0], KEY)
        np.testing.assert_allclose(
            game.respond(found.theta, KEY).w, tabular.respond(same.theta, KEY).w, atol=1e-6
        )
        assert found.steering_norm == pytest.approx(same.steering_norm, rel=1e-3)


def test_an_iteration_without_a_derivative_is_told(monkeypatch):
    def pushed(players, theta, model, along):
        return jnp.zeros(along[0].shape[1]), jax.tree.map(lambda leaf: leaf + jnp.nan, along)

    monkeypatch.setattr("fpo_jax.stability.pushed", pushed)
    theta = GAME.init(KEY)[0]
    said = "derivative of an iteration = not finite: must be finite"
    require_named(said, lambda: equilibrium(GAME, mirror(Myopic()), FOLLOWER, theta, KEY))


@slow
def test_what_has_no_equilibrium_says_why():
    theta = GAME.init(KEY)[0]
    require_named("follower = optax", lambda: equilibrium(GAME, mirror(Myopic()), Optax(), theta, KEY))
    earlier = mirror(Kl(to="earlier"))
    require_named("to = earlier", lambda: equilibrium(GAME, earlier, FOLLOWER, theta, KEY))
    anew = mirror(Myopic()).replace(restart="reset")
    require_named("restart = reset", lambda: equilibrium(GAME, anew, FOLLOWER, theta, KEY))
    few = BestResponse(alpha=0.3, ridge=0.1, feedback=Preferences(label_budget=3))
    require_named("game = BanditGame", lambda: equilibrium(GAME, mirror(Myopic()), few, theta, KEY))
    sampled = Language(responses=2, length=2, width=4, features=4, corpus=8).draw(KEY)
    start = sampled.init(KEY)[0]
    require_named("game = LanguageGame", lambda: equilibrium(sampled, Leader(Myopic()), FOLLOWER, start, KEY))
    neural = Neural(dimension=4).draw(KEY)
    still = neural.init(KEY)[0]
    require_named("game = Neural", lambda: equilibrium(neural, Leader(Myopic()), FOLLOWER, still, KEY))
    unbounded = ConcaveTrap()
    far = Leader(Exact())
    with pytest.raises(ValueError, match="residual"):  # F = 0.3 θ² has no maximum
        equilibrium(unbounded, far, World(), jnp.asarray(0.3), KEY)
    with jax.enable_x64(False):
        require_named(
            "precision = float32", lambda: equilibrium(GAME, mirror(Myopic()), FOLLOWER, theta, KEY)
        )


@slow
def test_an_autoregressive_policy_rests_in_its_parameters():
    game = Language(prompts=1, vocabulary=6, length=2, corpus=16, features=4, width=4, heads=2).draw(KEY)
    theta = game.init(KEY)[0]
    leader = Leader(Myopic(), policy_lr=0.5)
    found = equilibrium(game, leader, BestResponse(alpha=0.1, ridge=0.01), theta, KEY)
    assert found.residual < 1e-9
    assert found.spectral_radius < 1.0
    state = State(found.theta, found.reward_model)
    after = iterate(game, leader, BestResponse(alpha=0.1, ridge=0.01), state, KEY, 0.0)
    was, now = (outcome(game, FOLLOWER, s, KEY)["true_utility"] for s in (state, after))
    assert abs(float(was - now)) < 1e-6
