"""Wrappers pass on all of a game: what they forgot would fall back to a default without a word."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import Exact, Gradient
from fpo_jax.envs.bandit import Bandit, BanditGame
from fpo_jax.envs.linear import Linear
from fpo_jax.followers import Ensemble
from fpo_jax.types import Game
from fpo_jax.wrappers import (
    DetachedUtility,
    Ensembled,
    OtherPolicy,
    SamePolicy,
    Wrapper,
    as_known,
    ensembled,
)
from tests.helpers import away_from_the_start, draw

HOW_IT_RESPONDS = {"respond", "sample", "deployed", "compare"}
"""Changed together or not at all; and `draw`, which is that of `Game`: one instance is drawn already."""


ARMS, ACTION = Bandit(ordinary=5, planted=2), Linear(dimension=4)


def public(owner):
    return {name for name in vars(owner) if not name.startswith("_")}


def test_every_method_of_a_game_is_passed_on_or_belongs_to_the_policy():
    assert public(Game) - public(Wrapper) == HOW_IT_RESPONDS | {"draw"}
    assert public(SamePolicy) >= HOW_IT_RESPONDS
    assert public(OtherPolicy) & HOW_IT_RESPONDS == {"respond"}
    for name in public(Game) & public(Wrapper):  # with the same arguments
        ours, theirs = (inspect.getattr_static(owner, name) for owner in (Wrapper, Game))
        if callable(ours):
            assert [*inspect.signature(ours).parameters] == [*inspect.signature(theirs).parameters], name


@pytest.mark.parametrize("environment", [Bandit(), Linear(dimension=3)], ids=["bandit", "linear"])
def test_a_game_whose_utility_is_detached_is_the_same_but_for_its_slope(environment, key):
    game = environment.draw(key)
    known = DetachedUtility(game=game)
    theta, phi = game.init(key)
    jax.tree.map(np.testing.assert_array_equal, known.init(key), (theta, phi))
    for method in ("respond", "deployed"):
        ours, theirs = (getattr(one, method)(theta, key) for one in (known, game))
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    jax.tree.map(np.testing.assert_array_equal, known.sample(theta, key, 2), game.sample(theta, key, 2))
    responses = game.respond(theta, key)
    y = jax.tree.map(lambda leaf: leaf[0], responses.y)
    pairs = [(known.utility(y), game.utility(y)), (known.reward(phi, y), game.reward(phi, y))]
    pairs += [(known.cost(theta, responses), game.cost(theta, responses)), (known.optimum(), game.optimum())]
    pairs += zip(known.reward_and_norm(phi, y), game.reward_and_norm(phi, y), strict=True)
    other = jax.tree.map(lambda leaf: leaf[-1] + 0.5, responses.y)
    pairs += [(known.tangent_kernel(phi, y, other), game.tangent_kernel(phi, y, other))]
    pairs += [(known.blind_spot(y), game.blind_spot(y)), (known.prompts, game.prompts)]
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)
    assert known.at(0.5) == DetachedUtility(game=game.at(0.5))


def test_the_slope_of_a_detached_utility_is_zero(key):
    game = Linear(dimension=3)
    y = jnp.array([0.5, 1.0, -0.2])
    assert np.any(np.asarray(jax.grad(game.utility)(y)) != 0.0)
    np.testing.assert_array_equal(jax.grad(DetachedUtility(game=game).utility)(y), jnp.zeros(3))


def test_a_leader_knows_the_slope_of_utility_only_where_it_differentiates_it():
    game = Linear(dimension=3)
    assert as_known(game, "differentiated") is game
    for use in ("detached", "value"):
        assert as_known(game, use) == DetachedUtility(game=game)


def test_combined_rewards_are_their_formulas(key):
    game, phi = draw(ARMS, key), jax.random.normal(key, (3, 2))
    each = np.asarray(phi) @ np.asarray(game.arms.features).T  # [member, arm]
    expected = {
        "mean": each.mean(axis=0),
        "worst": each.min(axis=0),
        "uncertainty": each.mean(axis=0) - 0.7 * each.var(axis=0),
        "weights": np.asarray(phi).mean(axis=0) @ np.asarray(game.arms.features).T,
    }
    for combine, rewards in expected.items():
        faced = Ensemble(members=3, combine=combine, disagreement=0.7).faced(game)
        found = jax.vmap(lambda y: faced.reward(phi, y))(game.arms)  # noqa: B023
        np.testing.assert_allclose(found, rewards, rtol=1e-13)
    np.testing.assert_allclose(
        faced.members_rewards(phi, jax.tree.map(lambda x: x[4], game.arms)), each[:, 4]
    )


def test_the_worst_of_members_that_are_alike_is_the_plain_reward(key):
    game, phi = draw(ARMS, key), jnp.array([0.4, -0.3])
    faced = Ensemble(members=3, combine="worst").faced(game)
    alike = jnp.stack([phi] * 3)
    found = jax.vmap(lambda y: faced.reward(alike, y))(game.arms)
    np.testing.assert_array_equal(found, jax.vmap(lambda y: game.reward(phi, y))(game.arms))


def test_norms_and_inner_products_are_those_of_the_combined_reward(key):
    # ∇_φ_i mean = g/n for each of n members: ‖·‖² = ‖g‖²/n, ⟨·, ·⟩ = g·g'/n, and all of it flattened.
    game = draw(ARMS, key)
    faced, phi = Ensemble(members=3).faced(game), jax.random.normal(key, (3, 2))
    y, other = (jax.tree.map(lambda leaf: leaf[i], game.arms) for i in (1, 6))  # noqa: B023
    g, h = np.asarray(y.features), np.asarray(other.features)
    np.testing.assert_allclose(faced.reward_and_norm(phi, y)[1], g @ g / 3, rtol=1e-13)
    np.testing.assert_allclose(faced.tangent_kernel(phi, y, other), g @ h / 3, rtol=1e-13)
    np.testing.assert_allclose(faced.gradient_features(phi, y), np.tile(g / 3, 3), rtol=1e-13)


def test_a_game_is_faced_once(key):
    follower, game = Ensemble(members=3), draw(ARMS, key)
    once = follower.faced(game)
    again = follower.faced(once)
    assert isinstance(again.game, BanditGame)
    assert jax.tree.structure(again) == jax.tree.structure(once)
    # also behind other wrappers, whose change members see
    behind = DetachedUtility(game=once)
    assert ensembled(behind) is once
    assert not isinstance(follower.faced(behind).game.game, Ensembled)
    assert ensembled(game) is None


def test_members_see_what_else_is_changed_of_the_game(key):
    # Without ∂U/∂y exact foresight of a continuous action is another gradient; with two members, too.
    follower = Ensemble(members=2, differ="start", member=Gradient(rm_lr=0.05))
    game = follower.faced(ACTION)
    theta, model = away_from_the_start(game, follower, key)
    known, detached = (
        Exact(utility=use).estimate(game, follower, theta, model, key).gradient
        for use in ("differentiated", "detached")
    )
    slope = jax.grad(ACTION.utility)(theta)
    # F = r̄ − 2 lr (r̄ − U) ‖y‖²: the two differ by 2 lr ‖y‖² ∇U
    np.testing.assert_allclose(known - detached, 2 * 0.05 * (theta @ theta) * slope, rtol=1e-9)
