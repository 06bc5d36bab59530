"""Settings: those of every recipe, and the command that repeats them."""

import shlex

import pytest

from fpo_jax import BestResponse, Gradient
from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.errors import InputError
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.followers import FOLLOWERS, Ensemble, PessimisticFit
from fpo_jax.objectives import OBJECTIVES


def test_the_command_of_a_run_names_all_that_is_unusual():
    wishes = {
        "environment": "linear",
        "objective": "relaxed",
        "follower": "best-response",
        "differentiator": "forward-difference",
        "ridge": 0.1,
        "anchored": True,
    }
    command = resolve(wishes).command()
    assert command == (
        "fpo-jax run linear --objective relaxed --follower best-response --differentiator forward-difference "
        "--ridge 0.1 --anchored"
    )


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_recipes_name_what_exists(name):
    for objective in OBJECTIVES:
        settings = resolve({"environment": name, "objective": objective})
        for field, value in ENVIRONMENTS[name].recipe.leader.items():
            assert settings.values[field] == value


def test_the_command_of_a_run_can_be_pasted_into_a_shell():
    settings = resolve({"environment": "gridworld", "map": "S..#G / .#... / ..D.#", "seeds": 3})
    words = shlex.split(settings.command())
    assert words[words.index("--map") + 1] == "S..#G / .#... / ..D.#"


def test_an_ensemble_has_members_with_the_settings_of_the_recipe():
    settings = resolve({"environment": "bandit", "follower": "ensemble", "members": 3, "combine": "worst"})
    _, _, follower = settings.build()
    assert follower == Ensemble(members=3, combine="worst", member=BestResponse(ridge=0.1, alpha=0.3))
    assert settings.as_dict()["member"] == "best-response"
    assert resolve(settings.as_dict()) == settings
    command = "fpo-jax run bandit --objective myopic --follower ensemble --members 3 --combine worst"
    assert settings.command() == command
    # another member has its own settings, and those of the recipe where it is a kind of the recipe's follower
    of = {
        name: resolve({"environment": "bandit", "follower": "ensemble", "member": name})
        for name in ("pessimistic-fit", "gradient")
    }
    member = of["pessimistic-fit"].build()[2].member
    assert member == PessimisticFit(ridge=0.1, alpha=0.3)
    assert of["gradient"].build()[2].member == Gradient()
    assert of["gradient"].command().endswith("--follower ensemble --member gradient")
    assert "member" not in resolve({"environment": "bandit"}).as_dict()


def test_a_follower_that_is_a_kind_of_the_recipes_has_its_settings():
    for name in ("pessimistic-fit", "converged", "data-smoothing", "importance-weighted"):
        follower = resolve({"environment": "bandit", "follower": name}).build()[2]
        assert (follower.ridge, follower.alpha) == (0.1, 0.3)
    assert resolve({"environment": "linear", "follower": "best-response"}).values["ridge"] == 0.0


def test_every_follower_and_objective_goes_with_every_environment():
    # A hyperparameter of the same name in two of them would be "declared twice".
    for environment, game in ENVIRONMENTS.items():
        kind = FOLLOWERS[game.recipe.follower]
        for name in (name for name, one in FOLLOWERS.items() if issubclass(one, kind)):
            resolve({"environment": environment, "follower": name})
        for name in OBJECTIVES:
            resolve({"environment": environment, "objective": name})


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        ({"member": "gradient"}, "member = gradient: must be omitted, unless the follower is an ensemble"),
        ({"follower": "ensemble", "member": "ensemble"}, "member = ensemble: must be one of gradient"),
        ({"follower": "ensemble", "members": 1}, "members = 1: must be an integer >= 2"),
    ],
)
def test_what_an_ensemble_cannot_be(wishes, told):
    with pytest.raises(InputError, match=told):
        resolve({"environment": "bandit", **wishes})
