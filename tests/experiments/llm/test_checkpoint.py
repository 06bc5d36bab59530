"""Checkpoints that cannot be used: one line each, and nothing written."""

import json
import os
import shutil

import pytest
from safetensors.numpy import load_file, save_file

from fpo_jax.errors import InputError
from fpo_jax.experiments.cli.main import main
from tests.experiments.llm.conftest import edit, refused


def without(folder, name):
    (folder / name).unlink()


def cut_short(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def lose(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path)


def in_shards(folder):
    names = {"model.norm.weight": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}), encoding="utf-8")


def indexed(weight_map):
    return lambda f: (f / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": weight_map}), encoding="utf-8"
    )


def configured(**changes):
    return lambda f: edit(f / "config.json", **changes)


CHECKPOINTS = {
    "an index that is none": (indexed(["a.safetensors"]), "weight_map in model.safetensors.index.json"),
    "an index of numbers": (indexed({"a": 1}), "weight_map in model.safetensors.index.json"),
    "rotary embedding as a text": (
        configured(rope_parameters=None, rope_scaling="linear"),
        "rope_scaling in config.json = linear: must be an object",
    ),
    "rotary factor as a text": (
        configured(rope_parameters={"rope_type": "linear", "factor": "two"}),
        "factor in config.json = two: must be a finite number > 0",
    ),
    "rotary base as a list": (
        configured(rope_parameters=None, rope_theta=[1]),
        "rope_theta in config.json = [1]: must be a finite number > 0",
    ),
    "rotary type as a list": (
        configured(rope_parameters={"rope_type": []}),
        "one of default, linear, llama3",
    ),
    "keys as a text": (configured(num_key_value_heads="2"), "num_key_value_heads in config.json = 2"),
    "keys that do not divide": (configured(num_key_value_heads=3), "must be a divisor of 4"),
    "width of a head as a text": (configured(head_dim="16"), "head_dim in config.json = 16"),
    "width that heads do not divide": (
        configured(head_dim=None, hidden_size=65),
        "hidden_size in config.json = 65: must be a multiple of 4",
    ),
    "layers as true": (configured(num_hidden_layers=True), "num_hidden_layers in config.json = True"),
    "norm as a text": (configured(rms_norm_eps="small"), "rms_norm_eps in config.json = small"),
    "tied as a text": (configured(tie_word_embeddings="no"), "tie_word_embeddings in config.json = no"),
    "no config": (lambda f: without(f, "config.json"), "it has no config.json"),
    "broken config": (
        lambda f: (f / "config.json").write_text("{", encoding="utf-8"),
        "config.json is readable JSON",
    ),
    "another family": (
        lambda f: edit(f / "config.json", model_type="gpt2"),
        "model_type in config.json = gpt2",
    ),
    "other rotary": (
        lambda f: edit(f / "config.json", rope_parameters={"rope_type": "yarn"}),
        "one of default, linear, llama3",
    ),
    "no weights": (lambda f: without(f, "model.safetensors"), "neither model.safetensors nor"),
    "a shard short": (in_shards, "it lacks 1 of 1 shards, ['model-00002-of-00002.safetensors']"),
    "cut short": (cut_short, "model.safetensors is cut short or damaged"),
    "a tensor short": (lose, "model.layers.1.mlp.up_proj.weight is in none of its files"),
    "other sizes": (
        lambda f: edit(f / "config.json", intermediate_size=128),
        "must be [128, 64], as in its config.json, not [160, 64]",
    ),
    "no tokenizer": (lambda f: without(f, "tokenizer.json"), "it has no tokenizer.json"),
    "broken tokenizer": (
        lambda f: (f / "tokenizer.json").write_text("{}", encoding="utf-8"),
        "whose tokenizer can be read",
    ),
    "larger tokenizer": (
        lambda f: edit(f / "config.json", vocab_size=256),
        "one whose tokenizer fits its 256 embeddings, but it has 500 tokens",
    ),
    "smaller tokenizer": (lambda f: edit(f / "config.json", vocab_size=128_256), "but it has 500 tokens"),
    "another tokenizer": (
        lambda f: edit(f / "config.json", bos_token_id=7),
        "starts with token 7, as in its config.json, not 0",
    ),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_checkpoints(case, checkpoint, prompts, tmp_path, capsys):
    spoil, wanted = CHECKPOINTS[case]
    folder, out = tmp_path / "model", tmp_path / "out"
    shutil.copytree(checkpoint, folder)
    spoil(folder)
    error = refused(capsys, ["llm", "--model", folder, "--prompts", prompts, "--out", out])
    assert wanted in error
    assert str(folder) in error or "config.json = " in error
    assert {path.name for path in tmp_path.iterdir()} == {"model"}


def test_what_is_not_there(checkpoint, prompts, reward_model, tmp_path, capsys):
    told, notes = ["--model", checkpoint, "--prompts", prompts, "--precision", "float32"], tmp_path / "notes"
    notes.write_text("mine", encoding="utf-8")
    for words, wanted in {
        ("llm", "--prompts", prompts): "model = nothing",
        ("llm", "--model", "llama-3.2-1b", "--prompts", prompts): "--dry-run",
        ("llm", "--model", checkpoint, "--prompts", tmp_path / "none"): "No such file",
        ("llm", *told, "--resume"): "the folder of the run to resume",
        ("llm", *told, "--resume", "--out", tmp_path / "out"): "no run was interrupted",
        ("llm", *told, "--devices", 99): "at most 2, the number that JAX finds",
        ("llm", *told, "--prompt-limit", 5): "more than the 19 tokens of an empty prompt",
        ("llm", *told, "--oracle", checkpoint): "a checkpoint with score.weight",
        ("llm", *told, "--reward-model", tmp_path): "it has no config.json",
        ("llm", *told, "--random", True, "--placement", "divided"): "replicated when weights are drawn",
        ("llm", *told, "--candidates", 0): "an integer >= 1",
        ("llm", *told, "--tokens", 4): "least_tokens = 5: must be at most the 4 of --tokens",
        ("llm", *told, "--lora-dropout", 1): "<= 0.99",
        ("llm", *told, "--top-p", 0): "<= 1",
        ("llm", *told, "--lora-modules", "q"): "one or more of q_proj",
        ("answer", *told): "out = nothing",
        ("answer", *told, "--out", tmp_path / "none" / "a.jsonl"): "a file in an existing folder",
        ("answer", *told, "--out", tmp_path / "a.jsonl", "--adapter", tmp_path): "no adapter_config.json",
        ("answer", *told, "--out", notes): "an unused name, or the name of earlier answers",
        ("llm", "--dry-run", "--model", "llama-7"): "one of llama-3.2-1b",
    }.items():
        assert wanted in refused(capsys, words), words
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["mine"]


def test_a_reward_model_of_another_tokenizer(checkpoint, reward_model, prompts, tmp_path, capsys):
    folder, out = shutil.copytree(reward_model, tmp_path / "reward"), tmp_path / "out"
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    (first, second), names = (vocabulary["a"], vocabulary["b"]), ("a", "b")
    vocabulary["a"], vocabulary["b"] = second, first
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    told = ["llm", "--model", checkpoint, "--prompts", prompts, "--precision", "float32", "--out", out]
    lower = min((first, names[0]), (second, names[1]))
    for option in ("--reward-model", "--oracle"):
        error = refused(capsys, [*told, option, folder])
        assert f"one with the model's tokenizer, but token {lower[0]} is {lower[1]!r} there" in error
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert "one whose tokenizer can be read" in refused(capsys, [*told, "--oracle", folder])
    assert [path.name for path in tmp_path.iterdir()] == ["reward"]


def test_answers_replace_nothing_but_answers(tmp_path, capsys):
    """What stands there is looked at before the model and the prompts, which are not there."""
    answers, words = '{"prompt": "p", "response": "r"}\n', ["answer", "--model", "none", "--prompts", "none"]
    for name, text in {"empty": "", "blank": "\n\n", "more": answers + "{}\n", "answers": answers}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "link").symlink_to("answers")
    (tmp_path / "dangling").symlink_to("nothing")
    os.mkfifo(tmp_path / "pipe")
    for name in ("empty", "blank", "more", "link", "dangling", "pipe"):
        error = refused(capsys, [*words, "--out", tmp_path / name])
        assert "an unused name, or the name of earlier answers" in error, name
    assert "model = none" in refused(capsys, [*words, "--out", tmp_path / "answers"])


def test_answers_on_a_full_disk(checkpoint, prompts, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    told = ["--model", checkpoint, "--prompts", prompts, "--precision", "float32", "--tokens", 2]
    assert main([str(word) for word in ["answer", *told, "--out", tmp_path / "a.jsonl"]]) == 2
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("command", "left"), [("llm", True), ("answer", True), ("run", False)])
def test_what_the_compiler_is_told_is_for_small_arrays_only(command, left, monkeypatch, capsys):
    monkeypatch.setenv("XLA_FLAGS", "")
    assert main([command, "--seed", "0"]) == 2
    assert (os.environ["XLA_FLAGS"] == "") == left


def test_a_config_with_what_is_no_list_of_projections(given, tmp_path, capsys):
    for value in (5, [5], "q_proj"):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(given | {"lora_modules": value}), encoding="utf-8")
        error = refused(capsys, ["llm", "--config", path])
        assert "lora_modules = " in error
        assert "must be a list of one or more of q_proj" in error


@pytest.mark.parametrize("lost", ["steps", "seconds", "written/kl"])
def test_a_checkpoint_of_a_run_that_is_damaged(lost, tmp_path):
    import jax.numpy as jnp
    import numpy as np

    from fpo_jax.experiments.llm.step import TrainState
    from fpo_jax.experiments.llm.unfinished import TrainProgress, UnfinishedTraining

    start = TrainProgress.empty(TrainState(*(jnp.zeros(2) for _ in TrainState._fields)))
    written = {"kl": np.zeros(()), "gap": np.zeros(())}
    progress = start.after(start.state, written, 1.0).after(start.state, written, 1.0)
    unfinished = UnfinishedTraining(tmp_path / "out")
    unfinished.folder.mkdir()
    unfinished.save(progress)
    assert unfinished.load(start).steps == 2
    path = unfinished.folder / "state.npz"
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    np.savez(path, **arrays | {lost: np.zeros(1) if lost != "steps" else np.zeros(2)})
    with pytest.raises(InputError, match=r"must be readable \(.*\); remove .* and start again"):
        unfinished.load(start)
