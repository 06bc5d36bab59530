"""Grids: values of an axis, and the command that repeats them."""

import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments.sweeps.grid import make_grid


def test_values_of_an_axis():
    def axis(values, name="weight"):
        return make_grid({"environment": "linear", "objective": "relaxed", "grid": {name: values}}).grid[name]

    assert axis("0.1:0.5:5") == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert axis("0.001:1:4:log") == (0.001, 0.01, 0.1, 1.0)
    assert axis([0, 0.5]) == (0.0, 0.5)
    assert axis("4,8", "dimension") == (4, 8)
    assert axis("detached,value", "utility") == ("detached", "value")
    command = make_grid(
        {"environment": "linear", "grid": {"rm_lr": "0.001:1:4:log", "alpha": "0.1:1:4"}}
    ).command()
    assert (
        command == "fpo-jax sweep linear --objective myopic --grid rm_lr=0.001:1:4:log --grid alpha=0.1:1:4"
    )
    quoted = make_grid({"environment": "gridworld", "grid": {"map": ["S..#G / .#..."]}}).command()
    assert quoted.endswith("--grid 'map=S..#G / .#...'")


def test_a_sweep_of_an_ensemble_can_be_repeated():
    wishes = {"environment": "bandit", "follower": "ensemble", "grid": {"combine": ["mean", "worst"]}}
    grid = make_grid(wishes)
    assert grid.member == "best-response"
    assert make_grid(grid.as_dict()).points == grid.points
    assert [p.build()[2].combine for p in grid.points] == ["mean", "worst"]
    own = make_grid({**wishes, "member": "gradient"})
    assert own.as_dict()["member"] == "gradient"
    assert own.command().endswith("--grid combine=mean,worst --follower ensemble --member gradient")
    assert "--member" not in grid.command()
    assert "member" not in make_grid({"environment": "bandit"}).as_dict()


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        ({"grid": 3}, "grid = 3: must be an object"),
        ({"grid": {"weight": [None]}, "objective": "relaxed"}, "grid weight = null"),
        ({"objective": 3}, "objective = 3: must be names"),
        ({"objective": [["myopic"]]}, "must be names"),
        ({"differentiator": [1]}, r"differentiator = \[1\]: must be one of autodiff"),
        ({"environment": 3}, "environment = 3: must be one of bandit"),
        ({"environment": None}, "environment = nothing: must be one of bandit"),
        ({"seeds": 0}, "seeds = 0: must be an integer >= 1 and <= 2147483648"),
        ({"wieght": 3}, "setting = wieght: must be one of"),
    ],
)
def test_bad_files(wishes, told):
    with pytest.raises(InputError, match=told):
        make_grid({"environment": "linear", **wishes})
