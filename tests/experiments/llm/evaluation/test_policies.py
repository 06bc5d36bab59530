"""Folders of policies: what is read of them, and one line for those that are none."""

import shutil

import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments.llm.evaluation.policies import read_policies
from fpo_jax.experiments.llm.prompts import read_prompts
from tests.experiments.llm.conftest import edit, refused


def test_a_run_says_its_mode_its_seed_and_what_it_was_trained_on(runs, prompts):
    still, moved, again = read_policies([str(folder) for folder in runs.values()])
    assert (still.name, still.mode, moved.mode) == ("still", "rlhf", "practical")
    assert still.prompts == set(read_prompts(prompts)[:2])
    assert moved.without_seed == again.without_seed != still.without_seed
    (alone,) = read_policies([str(runs["moved"] / "adapter")])
    assert (alone.name, alone.mode, alone.prompts, alone.without_seed) == ("adapter", "", frozenset(), None)


def test_names_that_are_the_same_are_told_apart(runs):
    folders = [str(runs[name] / "adapter") for name in ("still", "moved")]
    assert [policy.name for policy in read_policies(folders)] == folders
    with pytest.raises(InputError, match="named once"):
        read_policies([str(runs["still"]), f"{runs['still']}/"])


def test_folders_that_hold_no_policy(runs, checkpoint, tmp_path, capsys):
    told = ["evaluate", "--model", checkpoint, "--out", tmp_path / "out", "--runs"]
    assert "runs = nowhere: must be a folder of `fpo-jax llm`" in refused(capsys, [*told, "nowhere"])
    without = shutil.copytree(runs["still"], tmp_path / "without")
    shutil.rmtree(without / "adapter")
    assert "with adapter/, or of an adapter, with adapter_config.json" in refused(capsys, [*told, without])
    other = shutil.copytree(runs["still"], tmp_path / "other")
    edit(other / "adapter" / "adapter_config.json", r=8)
    assert "made for this model, but base_model.model" in refused(
        capsys, [*told, other, "--prompts", "included"]
    )
    edit(other / "config.json", judge_model="m")
    assert "settings of llm; this file is for `fpo-jax judge" in refused(capsys, [*told, other])
    assert not (tmp_path / "out").exists()
