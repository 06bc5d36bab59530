"""Every command: help, versions, options in any order, and one clear line for bad input."""

import importlib.metadata
import json
import platform
import subprocess
import sys

import jax
import jaxlib
import pytest

import fpo_jax
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.sweeps.grid import make_grid
from fpo_jax.objectives import OBJECTIVES
from fpo_jax.types import KNOWS
from tests.helpers import FAST, call


def test_help_and_list(capsys):
    status, out, _ = call(capsys, "--help")
    assert status == 0
    assert all(command in out for command in ("list", "run", "parity", "reproduce", "bench"))
    status, out, _ = call(capsys, "list")
    assert status == 0
    names = ("bandit", "linear", "myopic", "exact", "relaxed", "practical", "gradient", "best-response")
    assert all(f"  {name} " in out for name in names)
    objectives = out.partition("\nobjectives\n")[2].partition("\nfollowers\n")[0]
    assert objectives.count("U at will: the true utility of any response") == 1  # what a word means, once
    assert "[the follower's inputs]" in objectives.partition("  leverage ")[2].partition("  pessimistic ")[0]
    assert "visibility = " not in out  # hyperparameters are those of what is named
    status, out, _ = call(capsys, "list", "ensemble")
    assert [line for line in out.splitlines() if line and line[0] != " "] == ["objectives", "followers"]
    assert "      pays = uncertainty: " in out
    assert "      members = 4: " in out
    status, _, err = call(capsys, "list", "bandt")
    assert status == 2
    assert err.endswith("(nearest: bandit)\n")
    status, out, _ = call(capsys, "list", "--json")
    listed = json.loads(out)["objectives"]
    assert {name: entry["knows"] for name, entry in listed.items()} == {
        name: objective.knows for name, objective in OBJECTIVES.items()
    }
    assert {entry["knows"] for entry in listed.values()} <= set(KNOWS)
    for command in ("run", "list", "parity", "reproduce", "bench"):
        status, out, _ = call(capsys, command, "--help")
        assert status == 0
        assert f"fpo-jax {command}" in out
    _, out, _ = call(capsys, "run", "linear", "--objective", "relaxed", "--help")
    assert "--weight" in out
    assert "0.1" in out


BAD = {
    "unknown command": (["rnu"], "command = rnu", "nearest: run"),
    "unknown environment": (["run", "liner"], "environment = liner", "nearest: linear"),
    "no environment": (["run"], "environment = nothing", "must be one of bandit"),
    "unknown objective": (["run", "linear", "--objective", "relax"], "objective = relax", "nearest: relaxed"),
    "unknown follower": (["run", "linear", "--follower", "sgd"], "follower = sgd", "one of gradient"),
    "unknown option": (["run", "linear", "--wieght", "1"], "--wieght", "--help"),
    "option of another objective": (
        ["run", "linear", "--weight", "1"],
        "--weight",
        "objectives tracin, proximal, relaxed",
    ),
    "nearly an option": (["run", "bandit", "--alhpa", "1"], "--alhpa", "nearest: alpha"),
    "device": (["run", "linear", "--device", "tpu"], "device = tpu", "that JAX finds here: cpu"),
    "a label budget of nothing": (
        ["run", "bandit", "--label-budget", "0"],
        "label_budget = 0",
        "an integer >= 1",
    ),
    "a label budget where responses are sampled": (
        ["run", "linear", "--label-budget", "5"],
        "label_budget = 5",
        "must be omitted, because this environment has no table of responses",
    ),
    "leverage in a singular metric": (
        ["run", *FAST, "linear", "--objective", "leverage", "--weight-decay", "0"],
        "objective = leverage",
        "must be given a damping > 0",
    ),
    "shell": (["completion", "csh"], "shell = csh", "one of bash, zsh"),
    "not a number": (["run", "linear", "--policy-lr", "fast"], "policy_lr = fast", "a number"),
    "zero seeds": (["run", "linear", "--seeds", "0"], "seeds = 0", "an integer >= 1"),
    "zero steps": (["run", "linear", "--steps", "0"], "steps = 0", "an integer >= 1"),
    "alpha": (["run", "bandit", "--alpha", "1.5"], "alpha = 1.5", "<= 1"),
    "ridge": (["run", "bandit", "--ridge", "-1"], "ridge = -1.0", ">= 0"),
    "learning rate": (["run", "linear", "--rm-lr", "-1"], "rm_lr = -1.0", ">= 0"),
    "precision": (["run", "linear", "--precision", "half"], "precision = half", "float32, float64"),
    "no such config": (["run", "--config", "none.json"], "config = none.json", "readable JSON"),
    "no such recording": (["parity", "none.npz"], "recording = none.npz", "readable npz"),
    "tolerance": (["parity", "none.npz", "--tolerance", "-1"], "tolerance = -1.0", ">= 0"),
    "unknown experiment": (["reproduce", "--only", "bandits"], "only = bandits", "nearest: bandit"),
    "no seeds to reproduce": (["reproduce", "--seeds", "0"], "seeds = 0", "an integer >= 1"),
    "widths": (["bench", "--widths", "0"], "widths = (0,)", ">= 1"),
    "sides": (["bench", "--sides", "10", "5"], "sides = (10, 5)", "rising integers >= 3"),
    "map": (["run", "gridworld", "--map", "S.x/..G"], "map line 1 = S.x", "not 'x'"),
    "no goal": (["run", "gridworld", "--map", "S../..."], "map = S../...", "at least one G"),
    "repeats": (["bench", "--repeats", "0"], "repeats = 0", ">= 1"),
    "seed beyond its range": (["run", "linear", "--seed", "99999999999999999999"], "seed = 9999", "<= 21474"),
    "last seed beyond": (["run", "linear", "--seed", "2147483647"], "seed = 2147483647", "<= 2147483584"),
    "no seeds left": (["run", "linear", "--seeds", "0", "--json"], "seeds = 0", ">= 1"),
    "working directory": (["run", "linear", "--out", "."], "out = .", "another folder"),
    "detached difference": (
        [
            "run",
            "linear",
            "--objective",
            "relaxed",
            "--differentiator",
            "forward-difference",
            "--utility",
            "detached",
        ],
        "utility = detached",
        "autodiff",
    ),
    "singular best response": (
        ["run", "bandit", "--follower", "best-response", "--alpha", "0", "--ridge", "0", "--ordinary", "1"],
        "follower = BestResponse",
        "ridge > 0",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_2(case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, named, allowed = BAD[case]
    status, out, err = call(capsys, *arguments)
    assert status == 2
    assert out == ""
    lines = [line for line in err.splitlines() if "job/s" not in line and "iterations" not in line]
    lines = [line for line in lines if not line.startswith(("fpo-jax run", "compiling"))]  # what is done
    assert len(lines) == 1
    assert lines[0].startswith("fpo-jax: error: ")
    assert named in lines[0]
    assert allowed in lines[0]
    assert not list(tmp_path.iterdir())


def test_settings_of_another_command_name_the_right_one(capsys, tmp_path):
    config = tmp_path / "config.json"
    run = resolve({"environment": "linear", "objective": "best-of"}).as_dict()  # which has `candidates`, too
    sweep = make_grid({"environment": "linear"}).as_dict()
    cases = [
        (sweep, "sweep", ("run", "decompose", "judge")),
        (run, "run", ("sweep", "judge")),
        (run | {"decompose": {"every": 1}}, "decompose", ("sweep", "judge")),
        ({"judge_model": None, "answers": []}, "judge", ("run", "sweep", "decompose")),
        ({"lora_rank": 16, "candidates": 8}, "llm", ("run", "sweep", "judge")),
        ({"truthfulqa": None, "candidates": 8}, "evaluate", ("run", "judge", "llm")),
    ]
    for settings, right, others in cases:
        config.write_text(json.dumps(settings), encoding="utf-8")
        for command in others:
            status, out, err = call(capsys, command, "--config", config)
            assert (status, out, err.count("\n")) == (2, "", 1)
            assert f"settings of {command}; this file is for `fpo-jax {right} --config {config}`" in err
    config.write_text('{"environment": "linear", "decompose": 3}', encoding="utf-8")
    status, _, err = call(capsys, "decompose", "--config", config)
    assert status == 2
    assert "decompose = 3" in err


def test_version_is_said_at_once():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "fpo_jax", "--version"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    python = platform.python_version()
    beneath = f"jax {jax.__version__}, jaxlib {jaxlib.__version__}, Python {python}"
    assert done.stdout == f"fpo-jax {fpo_jax.__version__} ({beneath})\n"
    assert "jax._src" not in done.stderr


def test_a_package_that_is_not_installed_has_a_version(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    assert fpo_jax.__version__ == "0+unknown"
    with pytest.raises(AttributeError, match="No fpo_jax attribute versions"):
        fpo_jax.versions  # noqa: B018


def test_options_may_stand_before_the_environment(capsys):
    status, out, _ = call(capsys, "run", *FAST, "linear", "--json")
    assert status == 0
    assert json.loads(out)["environment"] == "linear"
