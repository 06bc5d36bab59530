"""Wrappers pass on all of a game: what they forgot would fall back to a default without a word."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.linear import Linear
from fpo_jax.types import Game
from fpo_jax.wrappers import DetachedUtility, OtherPolicy, SamePolicy, Wrapper, as_known

HOW_IT_RESPONDS = {"respond", "sample", "deployed", "compare"}
"""Changed together or not at all; and `draw`, which is that of `Game`: one instance is drawn already."""


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
