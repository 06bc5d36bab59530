"""Settings: those of every recipe, and the command that repeats them."""

import shlex

import pytest

from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.experiments.core.settings import resolve
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
