"""Branches of equilibria: held to closed forms, and to where runs end on either side of a fold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from jax.tree_util import Partial
from scipy.special import softmax

from fpo_jax import BestResponse, Exact, Leader, Myopic, path
from fpo_jax.continuation import branches, continued, passed
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.contextual import Contextual
from fpo_jax.equilibria import largest_stable_step
from fpo_jax.followers import Optax
from fpo_jax.objectives import Kl
from fpo_jax.run import initial_state, iterate
from fpo_jax.testing.performative import (
    BiasedCoin,
    ConcaveTrap,
    PrevalenceBandit,
    RidgeRegression,
    World,
    retraining,
)
from fpo_jax.testing.performative.scalar import Number
from tests.helpers import require_named

slow = pytest.mark.slow
KEY = jax.random.key(7)
FOLD = 2.0 / (3.0 * np.sqrt(3.0))


@struct.dataclass
class Cubic(Number):
    """The world answers λ − s(θ − θ³), J = θφ: at rest λ = s(θ − θ³), which turns where 3θ² = 1."""

    level: float = 0.0
    scale: float = 1.0

    def answer(self, theta):
        return self.level - self.scale * (theta - theta**3)

    def reward(self, phi, y):
        return phi * y

    def optimal(self):
        return 0.0

    def stable(self):
        return 0.0


def cubic(scale, level):
    return Cubic(level=level, scale=scale), Leader(Myopic(), policy_lr=0.1), World()


def mirror(objective, policy_lr=1.0):
    return Leader(objective, policy_lr=policy_lr, rule="mirror")


def kinds(branch):
    return [event.kind for event in branch.events]


def test_a_branch_is_followed_through_its_folds():
    at = Partial(cubic, jnp.asarray(1.0))
    branch = continued(at, -1.0, 1.0, jnp.asarray(-0.2), KEY, start=0.0, points=30)
    theta = np.array([float(one.theta) for one in branch.equilibria])
    np.testing.assert_allclose(branch.values, theta - theta**3, atol=1e-9)
    assert np.all(np.diff(theta) > 0) or np.all(np.diff(theta) < 0)
    assert sorted(np.abs(branch.values[[0, -1]])) == [1.0, 1.0]
    assert all("the end of the range" in end for end in branch.ends)
    # dλ/dθ = 1 − 3θ² is 0 at θ = ±1/√3, λ = ±2/(3√3); an eigenvalue is 1 there, which is told once
    assert kinds(branch) == ["fold", "fold"]
    np.testing.assert_allclose(sorted(event.value for event in branch.events), [-FOLD, FOLD], atol=1e-8)
    # θ ← θ + 0.1 φ(θ) has the slope 1 − 0.1 (1 − 3θ²)
    np.testing.assert_allclose(branch.metric("spectral_radius"), np.abs(0.9 + 0.3 * theta**2), atol=1e-9)
    assert [stable for _, stable in branch.stretches()] == [False, True, False]
    assert [part[0] for part, _ in branch.stretches()] == [0, *(event.place for event in branch.events)]
    there = sorted(float(one.theta) for one in passed(branch, at, 0.0, KEY))
    np.testing.assert_allclose(there, [-1.0, 0.0, 1.0], atol=1e-9)
    programs = path._corrected._cache_size()
    double = Partial(cubic, jnp.asarray(2.0))
    other = continued(double, -1.0, 1.0, jnp.asarray(-0.2), KEY, start=0.0, points=30)
    assert path._corrected._cache_size() == programs  # another array compiles nothing
    np.testing.assert_allclose(
        sorted(event.value for event in other.events), [-2 * FOLD, 2 * FOLD], atol=1e-8
    )


def test_stability_changes_where_the_slope_passes_one():
    def at(gain):
        game = ConcaveTrap(gain=gain)  # slope βε/γ = β
        return game, retraining(game), World()

    branch = continued(at, 0.4, 1.6, jnp.zeros(()), KEY, points=20)
    assert kinds(branch) == ["crossing"]
    assert branch.events[0].value == pytest.approx(1.0, abs=1e-8)
    assert branch.events[0].eigenvalue == pytest.approx(1.0, abs=1e-8)
    np.testing.assert_allclose(branch.metric("spectral_radius"), branch.values, atol=1e-9)
    assert [stable for _, stable in branch.stretches()] == [True, False]


def test_an_action_comes_to_its_bound_and_a_branch_ends_where_its_setting_does():
    def at(sensitivity):
        return BiasedCoin(base=0.15, sensitivity=sensitivity), Leader(Myopic(), policy_lr=0.1), World()

    branch = continued(at, -0.5, 0.9, jnp.asarray(0.1), KEY, points=20, bounds=(0.0, 0.2))
    # at rest at μ/(1 − ε), which is 0.2 at ε = ¼; ε may be at most 0.499
    assert kinds(branch) == ["leaves"]
    assert branch.events[0].value == pytest.approx(0.25, abs=1e-8)
    theta = np.array([float(one.theta) for one in branch.equilibria])
    np.testing.assert_allclose(theta, np.minimum(0.15 / (1.0 - branch.values), 0.2), atol=1e-9)
    assert branch.values[-1] == 0.499
    assert "sensitivity = 0.9: must be a finite number <= 0.499" in branch.ends[1]


def test_the_longest_stable_step_is_a_crossing():
    game = RidgeRegression()
    start = jnp.asarray(0.3)
    branch = continued(
        lambda step: (game, Leader(Myopic(), policy_lr=step), World()), 0.01, 3.0, start, KEY, points=20
    )
    # θ ← θ + s J'' (1 − slope)(θ − θ*), −1 times the error at s = 2 / (1 − slope) / −J''
    longest = 2.0 / (1.0 - float(game.slope())) / float(game.curvature())
    assert kinds(branch) == ["crossing"]
    assert branch.events[0].value == pytest.approx(longest, rel=1e-8)
    assert branch.events[0].eigenvalue == pytest.approx(-1.0, abs=1e-8)


@pytest.mark.parametrize("objective", [Myopic(), pytest.param(Exact(), marks=slow)], ids=["myopic", "exact"])
@pytest.mark.parametrize("start", [0.25, pytest.param(7.0, marks=slow)])
def test_arms_enter_where_crowding_makes_them_pay(objective, start):
    values = jnp.array([3.0, 2.0, 1.0, 0.0])

    def at(crowding):
        return PrevalenceBandit(values, crowding=crowding), mirror(objective, 0.1), World()

    branch = continued(at, 0.25, 7.0, jnp.zeros(4), KEY, start=start, points=20)
    # v₁ − λ = v₂; (v₁ + v₂ − λ)/2 = v₃; (v₁ + v₂ + v₃ − λ)/3 = v₄: λ = 1, 3, 6; foresight counts λ twice
    expected = np.array([1.0, 3.0, 6.0]) / (1.0 if isinstance(objective, Myopic) else 2.0)
    assert kinds(branch) == ["enters"] * 3
    assert [event.which for event in branch.events] == [1, 2, 3]
    np.testing.assert_allclose([event.value for event in branch.events], expected, atol=1e-8)
    for value, one in zip(branch.values, branch.equilibria, strict=True):
        game = at(value)[0]
        policy = game.stable() if isinstance(objective, Myopic) else game.optimal()
        np.testing.assert_allclose(softmax(one.theta), policy, atol=1e-8)
    assert all(stable for _, stable in branch.stretches())


@slow
def test_rlhf_falls_at_one_ridge_and_comes_back_at_another():
    game = Bandit().draw(jax.random.key(2))

    def at(log_ridge):
        return game, mirror(Myopic()), BestResponse(alpha=1.0, ridge=10.0**log_ridge)

    uniform = jnp.zeros(24)
    decoy = 8.0 * jax.nn.one_hot(18 + jnp.argmax(game.arms.features[18:, 0]), 24)
    (branch,) = branches(at, -2.0, 0.0, [uniform, decoy], KEY, points=30)
    assert kinds(branch) == ["fold", "fold"]
    assert [stable for _, stable in branch.stretches()] == [True, False, True]
    falls, returns = (event.value for event in branch.events)
    assert returns < falls

    @jax.jit
    def end(log_ridge, theta):
        players = at(log_ridge)
        state = initial_state(*players[::2], KEY, (theta, jnp.zeros(2)))
        step = lambda _, s: iterate(*players, s, KEY, 0.0)  # noqa: E731
        state = jax.lax.fori_loop(0, 20_000, step, state)
        return jax.nn.softmax(state.theta) @ game.arms.quality

    for fold, inside in ((falls, -0.01), (returns, 0.01)):
        upper, middle, lower = passed(branch, at, fold + inside, KEY)
        for attracts in (upper, lower):  # the one between parts what runs to either
            start = 0.9 * middle.theta + 0.1 * attracts.theta
            assert float(end(fold + inside, start)) == pytest.approx(
                attracts.metrics["true_utility"], abs=1e-6
            )
        (alone,) = passed(branch, at, fold - inside, KEY)  # outside they all end at what is left
        ends = [float(end(fold - inside, one.theta)) for one in (upper, lower)]
        np.testing.assert_allclose(ends, alone.metrics["true_utility"], atol=1e-6)


@slow
def test_responses_leave_and_enter_without_an_entropy():
    game = Bandit(ordinary=4, planted=2, temperature=0.0).draw(jax.random.key(0))

    def at(alpha):
        return game, mirror(Exact()), BestResponse(alpha=alpha, ridge=0.1)

    branch = continued(at, 0.02, 1.0, jnp.zeros(6), KEY, points=20)
    back = continued(at, 0.02, 1.0, jnp.zeros(6), KEY, start=1.0, points=20)
    told = [(event.kind, event.which) for event in branch.events]
    assert told == [("enters", 5), ("leaves", 4), ("enters", 3), ("leaves", 5)]
    assert [(event.kind, event.which) for event in back.events] == told
    np.testing.assert_allclose(
        [event.value for event in branch.events], [event.value for event in back.events], atol=1e-8
    )
    for event in branch.events:  # at the edge of the support a response pays as much as those that are given
        one = branch.equilibria[event.place]
        assert np.min(np.abs(np.abs(one.eigenvalues) - 1.0)) < 1e-8


@slow
def test_the_largest_stable_step_of_a_bandit_is_a_crossing_of_the_same_place():
    game = Bandit(ordinary=4, planted=2).draw(KEY)
    follower = BestResponse(alpha=0.3, ridge=0.1)
    branch = continued(
        lambda step: (game, mirror(Myopic(), step), follower), 1.0, 400.0, jnp.zeros(6), KEY, points=20
    )
    one = branch.equilibria[0]
    longest = largest_stable_step(game, mirror(Myopic()), follower, one, KEY)
    assert [event.value for event in branch.events] == [pytest.approx(longest, rel=1e-8)]


@slow
def test_a_leash_is_to_the_policy_that_is_given():
    game, follower = Bandit(ordinary=4, planted=2).draw(KEY), BestResponse(alpha=0.3, ridge=0.1)
    held = continued(
        lambda weight: (game, mirror(Kl(weight=weight)), follower), 0.01, 0.2, jnp.zeros(6), KEY, points=10
    )
    warm = continued(
        lambda more: (game.replace(temperature=0.02 + more), mirror(Myopic()), follower),
        *(0.01, 0.2, jnp.zeros(6), KEY),
        points=10,
    )
    np.testing.assert_allclose(
        held.metric("true_utility")[[0, -1]], warm.metric("true_utility")[[0, -1]], atol=1e-8
    )


@slow
def test_a_policy_without_logits_of_its_own_is_followed_in_its_parameters():
    sizes = {"prompts": 2, "trapped": 1, "ordinary": 3, "traps": 1, "topics": 1}
    game = Contextual(policy="linear", **sizes).draw(KEY)
    start = game.init(KEY)[0]
    branch = continued(
        lambda alpha: (game, Leader(Myopic()), BestResponse(alpha=alpha, ridge=0.1)),
        *(0.2, 0.4, start, KEY),
        points=5,
        finest=1e-7,
    )
    assert np.max(branch.metric("residual")) < 1e-9
    assert branch.values[[0, -1]].tolist() == [0.2, 0.4]


def test_what_cannot_be_followed_says_why():
    theta = jnp.asarray(0.3)

    def flat(step):
        return ConcaveTrap(gain=1.0), Leader(Myopic(), policy_lr=step), World()  # J = θφ − θ²/2, φ = θ

    require_named("range = 1 to 0", lambda: continued(flat, 1.0, 0.0, theta, KEY))
    require_named("points = 1", lambda: continued(flat, 0.0, 1.0, theta, KEY, points=1))
    require_named("policy_lr = -1.0", lambda: continued(flat, -1.0, 1.0, theta, KEY))
    require_named("Jacobian at 0.1 = singular", lambda: continued(flat, 0.1, 1.0, theta, KEY))


@slow
def test_players_without_an_equilibrium_say_why():
    theta, game = jnp.zeros(6), Bandit(ordinary=4, planted=2).draw(KEY)

    def at(follower):
        return lambda temperature: (game.replace(temperature=temperature), mirror(Myopic()), follower)

    require_named("follower = optax", lambda: continued(at(Optax()), 0.01, 0.1, theta, KEY))

    def unbounded(gain):
        return ConcaveTrap(gain=gain), Leader(Exact()), World()

    with pytest.raises(ValueError, match="residual"):  # F = (β − ½)θ² has no maximum
        continued(unbounded, 0.7, 0.9, jnp.asarray(0.3), KEY)
