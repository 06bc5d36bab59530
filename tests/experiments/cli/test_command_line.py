"""The command line, in process: results, files, exit statuses, and one clear line for bad input."""

import importlib.metadata
import json
import platform
import shlex
import subprocess
import sys

import jax
import jaxlib
import numpy as np
import pytest

import fpo_jax
from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.experiments.cli.main import COMMANDS, main
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.linear import EXPERIMENT
from fpo_jax.experiments.sweeps.grid import make_grid
from fpo_jax.objectives import OBJECTIVES
from tests.helpers import FAST, call


def test_help_and_list(capsys):
    status, out, _ = call(capsys, "--help")
    assert status == 0
    assert all(command in out for command in ("list", "run", "parity", "reproduce", "bench"))
    status, out, _ = call(capsys, "list")
    assert status == 0
    names = ("bandit", "linear", "myopic", "exact", "relaxed", "practical", "gradient", "best-response")
    assert all(f"  {name} " in out for name in names)
    for command in ("run", "list", "parity", "reproduce", "bench"):
        status, out, _ = call(capsys, command, "--help")
        assert status == 0
        assert f"fpo-jax {command}" in out
    _, out, _ = call(capsys, "run", "linear", "--objective", "relaxed", "--help")
    assert "--weight" in out
    assert "0.1" in out


def test_run_json(capsys):
    status, out, err = call(capsys, "run", "linear", "--objective", "relaxed", "--json", *FAST)
    assert status == 0
    report = json.loads(out.splitlines()[-1])
    assert (report["environment"], report["objective"], report["seeds"]) == ("linear", "relaxed", 3)
    for name in ("true_utility_final", "true_utility_peak", "proxy_reward_final", "blind_spot_mass_final"):
        assert isinstance(report[name], float)
    assert report["calibrated_weight"] == 0.01  # 2 · 0.005 · 1 step
    assert report["weight"] == 0.1
    assert "5 iterations, 3 seeds" in err


def test_run_without_json_prints_a_table(capsys):
    status, out, _ = call(capsys, "run", "linear", *FAST)
    assert status == 0
    assert "true_utility_final" in out
    assert "{" not in out


def test_run_writes_a_folder_that_runs_again_to_the_same_bits(capsys, tmp_path):
    wishes = ["--objective", "practical", "--weight", "0.2", "--seed", "4", *FAST]
    first, second = tmp_path / "first", tmp_path / "deep" / "second"
    assert call(capsys, "run", "linear", *wishes, "--out", first)[0] == 0
    names = {path.name for path in first.iterdir()}
    assert names == {
        ".fpo-jax.json",
        "config.json",
        "metrics.npz",
        "states.npz",
        "summary.json",
        "overview.pdf",
        "overview.png",
        "report.html",
    }
    assert call(capsys, "run", "--config", first / "config.json", "--out", second)[0] == 0
    assert (first / "config.json").read_text(encoding="utf-8") == (second / "config.json").read_text(
        encoding="utf-8"
    )
    a, b = np.load(first / "metrics.npz"), np.load(second / "metrics.npz")
    assert set(a.files) == set(b.files) >= {"true_utility", "proxy_reward", "gap", "steering_norm", "seed"}
    for name in a.files:
        np.testing.assert_array_equal(a[name], b[name])
    assert a["true_utility"].shape == (3, 6)
    np.testing.assert_array_equal(a["seed"], [4, 5, 6])
    assert a["axes"].tolist() == ["seed", "step"]
    np.testing.assert_array_equal(a["step"], range(6))
    summary = json.loads((first / "summary.json").read_text(encoding="utf-8"))
    assert summary["precision"] == "float64"
    assert "jax" in summary["versions"]
    assert summary["command"] == (
        "fpo-jax run linear --objective practical --seeds 3 --seed 4 --steps 5 --dimension 6 --weight 0.2"
    )
    # an earlier result is replaced, and nothing is left beside it
    assert call(capsys, "run", "linear", *FAST, "--out", first)[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"first", "deep"}


def test_config_with_another_objective_keeps_what_still_applies(capsys, tmp_path):
    out = tmp_path / "run"
    call(capsys, "run", "linear", "--objective", "relaxed", "--weight", "0.2", *FAST, "--out", out)
    config = out / "config.json"
    status, printed, _ = call(capsys, "run", "--config", config, "--objective", "exact", "--json")
    report = json.loads(printed)
    assert status == 0
    assert (report["objective"], report["seeds"], report["steps"]) == ("exact", 3, 5)
    assert report["weight"] is None


DIVERGE = ["run", "linear", "--policy-lr", "100", "--steps", "250", "--seeds", "2"]
RUN = ["run", "linear", *FAST]
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
    "device": (["run", "linear", "--device", "tpu"], "device = tpu", "what JAX finds here: cpu"),
    "shell": (["completion", "csh"], "'csh'", "('bash', 'zsh')"),
    "not a number": (["run", "linear", "--policy-lr", "fast"], "--policy-lr", "'fast'"),
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


def test_bad_config_files(capsys, tmp_path):
    config = tmp_path / "config.json"
    contents = {
        "[1, 2]": "a JSON object",
        '{"environment": "linear", "wieght": 1}': "nearest: weight_decay",
        '{"environment": "linear", "rm_lr": "fast"}': "rm_lr = fast",
        '{"environment": 3}': "environment = 3",
        '{"environment": "linear", "seeds": 1.5}': "seeds = 1.5",
        "{": "readable JSON",
    }
    for content, complaint in contents.items():
        config.write_text(content, encoding="utf-8")
        status, _, err = call(capsys, "run", "--config", config)
        assert status == 2
        assert err.count("\n") == 1
        assert complaint in err
        assert str(config) in err


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
    ]
    for settings, right, others in cases:
        config.write_text(json.dumps(settings), encoding="utf-8")
        for command in others:
            status, out, err = call(capsys, command, "--config", config)
            assert (status, out, err.count("\n")) == (2, "", 1)
            assert f"settings of {command}; these are for `fpo-jax {right} --config {config}`" in err
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


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("columns", ["40", "80"])
def test_help_says_a_type_and_a_default_once(command, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    status, out, _ = call(capsys, command, "--help")
    assert status == 0
    assert "None" not in out
    _, _, below = out.partition(" options ")  # above it one sentence, which a terminal folds itself
    assert 0 < max(map(len, below.splitlines())) <= int(columns)


def test_a_narrow_terminal_folds_lines_and_turns_tables(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    for arguments in (["--help"], ["list"], ["judge", "--counts", "12:3"]):
        status, out, _ = call(capsys, *arguments)
        assert status == 0
        assert max(map(len, out.splitlines())) <= 40
    assert "\nrate           0.800\n" in out  # 12 wins of 15, a line of its own
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = call(capsys, "judge", "--counts", "12:3")
    assert out.splitlines()[0].split()[:4] == ["A", ":", "B", "wins"]


def test_what_is_computed_is_said(capsys, monkeypatch):
    class Stop(Exception):
        pass

    def stop(*_, **__):
        raise Stop

    monkeypatch.setattr("fpo_jax.experiments.runs.execution.execute", stop)
    monkeypatch.setattr("fpo_jax.experiments.sweeps.execution.run_grid", stop)
    said = {
        ("run",): "float64, with the exact steering term (full)",
        (
            "run",
            "--precision",
            "float32",
            "--record",
            "outcome",
        ): "float32, without the steering term (outcome)",
        ("sweep",): "float32, without the steering term (outcome); for speed, while `fpo-jax run` has "
        "--precision float64 --record full",
        ("sweep", "--record", "full"): "while `fpo-jax run` has --precision float64\n",
        (
            "sweep",
            "--precision",
            "float64",
            "--record",
            "full",
        ): "float64, with the exact steering term (full)\n",
    }
    for (command, *options), what in said.items():
        with pytest.raises(Stop):
            main([command, "linear", *options])
        assert what in capsys.readouterr().err


def test_an_unusable_folder_is_refused_before_any_work(capsys, tmp_path):
    file = tmp_path / "file"
    file.write_text("kept", encoding="utf-8")
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "thesis.tex").write_text("kept", encoding="utf-8")
    checkpoint = tmp_path / "checkpoint"  # others have a config.json, too
    checkpoint.mkdir()
    (checkpoint / "config.json").write_text("{}", encoding="utf-8")
    noted = tmp_path / "noted"
    call(capsys, *RUN, "--out", noted)
    (noted / "notes.txt").write_text("kept", encoding="utf-8")
    unusable = {
        file: "a folder",
        strange: "it holds thesis.tex",
        checkpoint: "it holds config.json",
        noted: "it holds notes.txt",
        file / "below": "can be written",
    }
    for out, complaint in unusable.items():
        status, _, err = call(capsys, *RUN, "--out", out)
        assert status == 2
        assert f"out = {out}" in err
        assert complaint in err
        assert "iterations" not in err
    assert file.read_text(encoding="utf-8") == (strange / "thesis.tex").read_text(encoding="utf-8") == "kept"


def test_a_failure_leaves_the_earlier_result_whole(capsys, tmp_path, monkeypatch):
    out = tmp_path / "run"
    call(capsys, *RUN, "--out", out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.savez_compressed", full)
    status, _, err = call(capsys, *RUN, "--out", out)
    assert status == 2
    assert "No space left on device" in err
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}
    assert list(tmp_path.iterdir()) == [out]


def test_options_may_stand_before_the_environment(capsys):
    status, out, _ = call(capsys, "run", *FAST, "linear", "--json")
    assert status == 0
    assert json.loads(out)["environment"] == "linear"


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


def test_divergence_of_every_seed_is_a_failure(capsys, tmp_path):
    out = tmp_path / "run"
    status, printed, err = call(capsys, *DIVERGE, "--out", out)
    assert status == 1
    assert printed == ""
    assert "every seed diverged to NaN or infinity" in err
    assert "seed 0 at iteration" in err
    assert not out.exists()


def test_divergence_of_some_seeds_is_said_and_left_out(capsys, tmp_path):
    # A gradient step on (U − w·y)² overshoots once lr·‖y‖² > 1; at lr = 0.12 that is ‖y‖ = 2.9, which
    # RLHF's actions pass, and whether the overshoot is caught depends on the seed.
    arguments = ["run", "linear", "--rm-lr", "0.12", "--json"]
    status, printed, err = call(capsys, *arguments, "--seeds", "8", "--out", tmp_path / "run")
    assert status == 0
    report = json.loads(printed)
    broken = [entry["seed"] for entry in report["diverged"]]
    assert 0 < len(broken) < 8
    assert report["seeds_reported"] == 8 - len(broken)
    assert np.isfinite(report["true_utility_final"])
    assert f"seed {broken[0]} at iteration {report['diverged'][0]['iteration']}" in err
    saved = np.load(tmp_path / "run" / "metrics.npz")
    assert sorted([*saved["seed"], *broken]) == list(range(8))
    assert np.all(np.isfinite(saved["true_utility"]))


def test_reproduce_writes_page_tables_numbers_and_figures(capsys, tmp_path, monkeypatch):
    out = tmp_path / "results"
    labels = ("RLHF", "practical 0.1", "relaxed 0.1", "exact, k = 10")  # compiling the others takes long
    fewer = EXPERIMENT._replace(methods={label: EXPERIMENT.methods[label] for label in labels})
    monkeypatch.setattr("fpo_jax.experiments.reproduce.job.discover", lambda: {"linear": fewer})
    status, _, err = call(capsys, "reproduce", "--only", "linear", "--seeds", "2", "--out", out)
    assert status == 0
    assert "linear: figures" in err  # progress is visible
    page = (out / "README.md").read_text(encoding="utf-8")
    for name in ("curves", "phase"):
        assert (out / "linear" / f"{name}.png").stat().st_size > 10_000
        assert (out / "linear" / f"{name}.pdf").exists()
        assert f"linear/{name}.png" in page
    assert "fpo-jax run linear --objective exact --seeds 2 --record outcome --horizon 10" in page
    numbers = np.load(out / "linear" / "numbers.npz")
    assert numbers["RLHF/true_utility"].shape == (2, 301)
    table = json.loads((out / "summary.json").read_text(encoding="utf-8"))["tables"]["linear"]
    assert len((out / "linear" / "table.csv").read_text(encoding="utf-8").splitlines()) == 1 + len(table)
    final = {row["method"]: row["true_utility_final"] for row in table}
    # the order that the published arms have on their own seed, and foresight helps the more of it there is
    assert final["RLHF"] < final["practical 0.1"] < final["relaxed 0.1"]
    assert final["RLHF"] < final["exact, k = 10"]


def test_the_command_of_a_run_can_be_pasted_into_a_shell():
    settings = resolve({"environment": "gridworld", "map": "S..#G / .#... / ..D.#", "seeds": 3})
    words = shlex.split(settings.command())
    assert words[words.index("--map") + 1] == "S..#G / .#... / ..D.#"
