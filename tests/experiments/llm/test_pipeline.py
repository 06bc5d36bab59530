"""The pipeline through the command line, in every mode, on a tiny random Llama."""

import json
import re
import shlex
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fpo_jax.experiments.cli.main import main
from fpo_jax.experiments.llm import adapter
from fpo_jax.experiments.llm.pipeline import Pipeline, prepare
from fpo_jax.experiments.llm.settings import MODES, TrainSettings
from tests.experiments.llm.conftest import STEPS, options


@pytest.fixture(scope="module")
def results(given, tmp_path_factory):
    """A finished run of every mode, by its folder."""
    folders = {}
    for mode in MODES:
        folders[mode] = tmp_path_factory.mktemp("runs") / mode
        assert main(["llm", *options(**given, mode=mode, out=folders[mode])]) == 0
    return folders


def numbers(folder):
    with np.load(folder / "metrics.npz") as stored:
        return {name: stored[name] for name in stored.files}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_runs_and_writes_what_a_run_writes(mode, results, given):
    folder = results[mode]
    measured, report = numbers(folder), json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert {"true_utility", "proxy_reward", "gap", "penalty", "head_loss", "log_likelihood", "kl"} <= set(
        measured
    )
    for name, values in measured.items():
        assert values.shape == ((STEPS,) if name == "step" else (1,) if name == "seed" else (1, STEPS))
        assert np.isfinite(values).all()
    np.testing.assert_allclose(
        measured["gap"], measured["proxy_reward"] - measured["true_utility"], atol=1e-5
    )
    assert report["mode"] == mode
    assert report["seeds"] == 1
    assert report["true_utility_final"] == pytest.approx(measured["true_utility"][0, -1])
    assert {"tokenizers", "safetensors", "transformers", "jax"} <= set(report["versions"])
    assert (report["precision"], report["platform"]) == ("float32", "cpu")
    assert (folder / "overview.png").stat().st_size > 10_000
    assert f"Over {STEPS} prompts the oracle" in (folder / "report.html").read_text(encoding="utf-8")
    said = [
        json.loads(line) for line in (folder / "responses.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [line["step"] for line in said] == list(range(STEPS))
    assert all(isinstance(line["winner"], str) for line in said)
    assert (
        json.loads((folder / "config.json").read_text(encoding="utf-8"))["candidates"] == given["candidates"]
    )


def test_penalties_choose_other_winners(results):
    """All modes draw the same candidates at the first step: RLHF takes nothing from any."""
    first = {mode: numbers(folder)["penalty"][0, 0] for mode, folder in results.items()}
    assert first["rlhf"] == 0
    assert all(abs(first[mode]) > 1e-3 for mode in MODES if mode != "rlhf")
    np.testing.assert_array_equal(numbers(results["rlhf"])["overruled"], 0)


def test_the_policy_moves_only_when_gradients_have_gathered(results):
    """Two steps make one update: before it policy and reference are the same, after it they are not."""
    kl = numbers(results["rlhf"])["kl"][0]
    np.testing.assert_allclose(kl[:2], 0, atol=1e-3)
    assert np.abs(kl[2:]).min() > 1e-3


def test_with_a_copy_as_oracle_and_soft_labels_the_head_has_nothing_to_learn(given):
    """p_φ = p* wherever φ = φ*: to the bit the head stays, and relaxed FPO is RLHF; hard labels move it."""
    for labels, moves in (("soft", False), ("hard", True)):
        told = {"mode": "relaxed", "new_head": False, "labels": labels, "oracle": "copy", "weight_decay": 0.0}
        settings = TrainSettings.of(given | told)
        pipeline = prepare(settings)
        state = pipeline.start
        for number in range(STEPS):
            state, written = pipeline.step(state, number)
            assert (written["head_gradient"] > 0) == moves
            if not moves:
                assert written["gap"] == 0
                assert written["penalty"] == pytest.approx(0, abs=1e-5)
        assert np.array_equal(state.head, pipeline.start.head) != moves


def test_the_adapter_moves_and_frozen_weights_stay_to_the_bit(given):
    pipeline = prepare(TrainSettings.of(given | {"mode": "relaxed"}))
    frozen = [np.array(leaf) for leaf in jax.tree.leaves(pipeline.base.frozen)]
    oracle, state = np.array(pipeline.oracle_head), pipeline.start
    for number in range(STEPS):  # A moves at the second update: its gradient is 0 while B is
        state, _ = pipeline.step(state, number)
    for before, after in zip(frozen, jax.tree.leaves(pipeline.base.frozen), strict=True):
        assert before.tobytes() == np.asarray(after).tobytes()
    assert oracle.tobytes() == np.asarray(pipeline.oracle_head).tobytes()
    fresh = prepare(TrainSettings.of(given | {"mode": "relaxed"}))
    jax.tree.map(np.testing.assert_array_equal, fresh.base.frozen, pipeline.base.frozen)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: (a != b).any(), state.adapter, fresh.start.adapter)))
    moved = np.asarray(state.head) != np.asarray(fresh.start.head)
    assert np.all(moved[:-1])
    assert not moved[-1]  # the bias, which cancels in every comparison


def test_a_run_is_repeated_from_its_config(results, tmp_path):
    again = tmp_path / "again"
    assert main(["llm", "--config", str(results["relaxed"] / "config.json"), "--out", str(again)]) == 0
    for name, values in numbers(results["relaxed"]).items():
        np.testing.assert_array_equal(numbers(again)[name], values)


@pytest.mark.parametrize("stopped_at", [1, 3])  # between two updates, and between two checkpoints
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(
    stopped_at, results, given, tmp_path, monkeypatch, capsys
):
    out, taken, step = tmp_path / "out", [], Pipeline.step

    def interrupted(self, state, number, drawn):
        if len(taken) == stopped_at:
            raise KeyboardInterrupt
        taken.append(number)
        return step(self, state, number, drawn)

    monkeypatch.setattr(Pipeline, "step", interrupted)
    words = ["llm", *options(**given, mode="relaxed", out=out, every=2)]
    assert main(words) == 130
    assert "--resume" in capsys.readouterr().err
    assert not out.exists()
    monkeypatch.setattr(Pipeline, "step", step)
    assert main([*words, "--resume"]) == 0
    assert not out.with_name("out.partial").exists()
    for name, values in numbers(results["relaxed"]).items():
        np.testing.assert_array_equal(numbers(out)[name], values)
    for file in ("adapter/adapter_model.safetensors", "reward_head.safetensors", "responses.jsonl"):
        assert (out / file).read_bytes() == (results["relaxed"] / file).read_bytes()


def test_a_run_is_resumed_with_the_settings_and_files_it_was_begun_with(given, tmp_path, monkeypatch, capsys):
    def interrupted(self, state, number, drawn):
        raise KeyboardInterrupt

    out, prompts = tmp_path / "out", tmp_path / "prompts.jsonl"
    shutil.copy(given["prompts"], prompts)
    monkeypatch.setattr(Pipeline, "step", interrupted)
    begun = given | {"prompts": str(prompts), "out": out}
    assert main(["llm", *options(**begun)]) == 130
    for changed in ({"policy_lr": 0.5}, {"mode": "practical"}, {"seed": 3}):
        capsys.readouterr()
        assert main(["llm", *options(**begun | changed), "--resume"]) == 2
        assert f"{next(iter(changed))} = " in (error := capsys.readouterr().err)
        assert "as in the run to resume" in error
    with prompts.open("a", encoding="utf-8") as file:
        file.write('{"prompt": "One more?"}\n')
    assert main(["llm", *options(**begun), "--resume"]) == 2
    assert "prompts_sha256 = " in capsys.readouterr().err
    assert main(["llm", *options(**begun)]) == 2
    assert "must be resumed with --resume" in capsys.readouterr().err


def test_a_run_is_not_resumed_with_other_weights_of_the_same_shapes(given, tmp_path, monkeypatch, capsys):
    def interrupted(self, state, number, drawn):
        raise KeyboardInterrupt

    folder = shutil.copytree(given["model"], tmp_path / "model")
    monkeypatch.setattr(Pipeline, "step", interrupted)
    words = ["llm", *options(**given | {"model": folder, "out": tmp_path / "out", "device": "cpu"})]
    assert main(words) == 130
    again = re.search(r"resume with `fpo-jax (.*)`", capsys.readouterr().err)[1]
    assert again.endswith(f"--out {tmp_path / 'out'} --resume --device cpu")
    weights = load_file(folder / "model.safetensors")
    size = (folder / "model.safetensors").stat().st_size
    save_file(
        {name: 2 * array for name, array in weights.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    assert (folder / "model.safetensors").stat().st_size == size
    assert main(shlex.split(again)) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("fpo-jax: error: model_sha256 = ")
    assert "as in the run to resume" in error


class TestTheEndOfARun:
    """A full disk and an interrupt while results are written: every step is kept, one line says so."""

    def run(self, given, out, monkeypatch):
        taken, step = [], Pipeline.step

        def counted(self, state, number, drawn):
            taken.append(number)
            return step(self, state, number, drawn)

        monkeypatch.setattr(Pipeline, "step", counted)
        words = ["llm", *options(**given | {"steps": 3, "every": 50, "out": out})]
        return words, taken

    @pytest.mark.parametrize(
        ("raised", "status", "told"),
        [
            (KeyboardInterrupt(), 130, "finished steps are saved; resume with"),
            (
                OSError(28, "No space left on device"),
                2,
                "(No space left on device); all steps are saved: continue",
            ),
            (SafetensorError("No space left on device"), 2, "all steps are saved: continue with --resume"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_while_results_are_written(self, raised, status, told, given, tmp_path, monkeypatch, capsys):
        def refuse(*_, **__):
            raise raised

        out = tmp_path / "out"
        words, taken = self.run(given, out, monkeypatch)
        with monkeypatch.context() as patch:
            patch.setattr(adapter, "save", refuse)
            assert main(words) == status
        assert told in capsys.readouterr().err.splitlines()[-1]
        assert not out.exists()
        assert main([*words, "--resume"]) == 0
        assert taken == [0, 1, 2]
        assert {path.name for path in tmp_path.iterdir()} == {"out"}

    def test_at_a_checkpoint(self, given, tmp_path, monkeypatch, capsys):
        def refuse(*_, **__):
            raise OSError(28, "No space left on device")

        words, _ = self.run(given, tmp_path / "out", monkeypatch)
        with monkeypatch.context() as patch:
            patch.setattr(np, "savez", refuse)
            assert main(words) == 2
        told = "(No space left on device); what is done is saved: continue with --resume"
        assert told in capsys.readouterr().err.splitlines()[-1]
        assert {path.name for path in tmp_path.glob("out.partial/*")} - {"lock"} == {"config.json"}

    def test_before_the_first_step(self, given, tmp_path, monkeypatch, capsys):
        def refuse(*_, **__):
            raise OSError(28, "No space left on device")

        words, taken = self.run(given, tmp_path / "out", monkeypatch)
        monkeypatch.setattr("fpo_jax.experiments.core.unfinished.write_json", refuse)
        assert main(words) == 2
        assert "(No space left on device); nothing was done" in capsys.readouterr().err.splitlines()[-1]
        assert not taken
        assert not list(tmp_path.iterdir())


def test_two_devices_do_as_one(results, given):
    """Candidates divided between two devices, and weights as well: the same draws, numbers to rounding."""
    wanted = numbers(results["relaxed"])
    for placement in ("replicated", "divided"):
        settings = TrainSettings.of(given | {"mode": "relaxed", "devices": 2, "placement": placement})
        pipeline = prepare(settings)
        leaf = pipeline.base.frozen["embed"]
        assert leaf.sharding.is_fully_replicated == (placement == "replicated")
        state = pipeline.start
        for number in range(STEPS):
            state, written = pipeline.step(state, number)
            for name in ("proxy_reward", "true_utility", "penalty", "log_likelihood"):
                assert written[name] == pytest.approx(wanted[name][0, number], abs=2e-3), (placement, name)


def test_answers_of_a_trained_policy_for_a_judge(results, given, tmp_path):
    said = {}
    for name, more in {"base": {}, "policy": {"adapter": results["rlhf"] / "adapter"}}.items():
        out = tmp_path / f"{name}.jsonl"
        words = options(
            model=given["model"], prompts=given["prompts"], tokens=6, precision="float32", out=out, **more
        )
        assert main(["answer", *words]) == 0
        said[name] = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    asked = [
        json.loads(line)["prompt"] for line in Path(given["prompts"]).read_text(encoding="utf-8").splitlines()
    ]
    for answers in said.values():
        assert [row["prompt"] for row in answers] == asked
        assert all(set(row) == {"prompt", "response"} for row in answers)
    assert said["base"] != said["policy"]
