"""Runs of the pipeline with another reward model, and without weights."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from fpo_jax.experiments.cli.main import main
from tests.experiments.llm.conftest import options


def test_weights_that_are_drawn_for_timing(given, tmp_path):
    """A model of the sizes in a config.json, without weights and tokenizer."""
    shutil.copy(Path(given["model"]) / "config.json", tmp_path)
    words = options(**given | {"model": tmp_path, "steps": 1, "prompt_limit": 32, "out": tmp_path / "out"})
    assert main(["llm", *words, "--random", "True"]) == 0
    assert (
        json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["seconds_per_step_median"]
        > 0
    )


def test_a_reward_model_and_an_oracle_of_their_own(given, reward_model, tmp_path, capsys):
    out = tmp_path / "out"
    others = {"reward_model": reward_model, "oracle": reward_model, "mode": "relaxed", "out": out, "steps": 2}
    others |= {"new_head": False, "reward_reads": "both"}
    assert main(["llm", *options(**given | others), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["gap_first"] == pytest.approx(0, abs=1e-5)  # the oracle is the reward model at the start
    assert load_file(out / "reward_head.safetensors")["score.weight"].shape == (1, 32)
