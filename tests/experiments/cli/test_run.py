"""`fpo-jax run`: results, files, exit statuses."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from fpo_jax.experiments.cli.main import main
from tests.helpers import FAST, ROOT, call


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
        ("sweep",): "float32, without the steering term (outcome), for speed; `fpo-jax run` has "
        "--precision float64 --record full",
        ("sweep", "--record", "full"): "for speed; `fpo-jax run` has --precision float64\n",
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


def test_an_interrupted_run_says_what_is_left(monkeypatch, capsys, tmp_path):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("fpo_jax.experiments.runs.execution.execute", interrupted)
    status, out, err = call(capsys, "run", "linear", *FAST, "--out", tmp_path / "run")
    assert (status, out) == (130, "")
    assert err.endswith("fpo-jax: interrupted; nothing was written\n")
    assert not list(tmp_path.iterdir())


def test_figures_need_no_display(tmp_path):
    script = (
        "from fpo_jax import plotting; figure, _ = plotting.panels(1, 1); "
        "from pathlib import Path; plotting.save(figure, Path('.'), 'drawn')"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    environment |= {"MPLBACKEND": "TkAgg", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    assert {path.name for path in tmp_path.iterdir()} == {"drawn.png", "drawn.pdf"}


def test_an_ensemble_runs_again_from_its_folder(capsys, tmp_path):
    ensemble = ["--follower", "ensemble", "--members", "2", "--combine", "worst", "--label-budget", "9"]
    wishes = [*ensemble, "--member", "pessimistic-fit", "--steps", "3", "--seeds", "2", "--ordinary", "4"]
    first, second = tmp_path / "first", tmp_path / "second"
    assert call(capsys, "run", "bandit", *wishes, "--out", first)[0] == 0
    written = json.loads((first / "config.json").read_text(encoding="utf-8"))
    named = {name: written[name] for name in ("follower", "member", "members", "label_budget", "ridge")}
    assert named == {
        "follower": "ensemble",
        "member": "pessimistic-fit",
        "members": 2,
        "label_budget": 9,
        "ridge": 0.1,  # of the recipe
    }
    assert call(capsys, "run", "--config", first / "config.json", "--out", second)[0] == 0
    a, b = np.load(first / "metrics.npz"), np.load(second / "metrics.npz")
    np.testing.assert_array_equal(a["true_utility"], b["true_utility"])
    # another follower leaves the members behind
    status, _, err = call(
        capsys, "run", "--config", first / "config.json", "--follower", "gradient", "--json"
    )
    assert status == 0, err
