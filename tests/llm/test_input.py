"""Checkpoints, tokenizers, prompts and adapters that cannot be used: one line each, and nothing written."""

import json
import os
import re
import shutil

import pytest
from safetensors.numpy import load_file, save_file

from fpo_jax.errors import InputError
from fpo_jax.experiments.cli.main import main
from fpo_jax.experiments.llm.prompts import Tokenizer, pad_to_bucket, read_prompts, say_cut
from fpo_jax.experiments.llm.sizes import read_config


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


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
        "must be [128, 64], as its config.json says, and not [160, 64]",
    ),
    "no tokenizer": (lambda f: without(f, "tokenizer.json"), "it has no tokenizer.json"),
    "broken tokenizer": (
        lambda f: (f / "tokenizer.json").write_text("{}", encoding="utf-8"),
        "whose tokenizer can be read",
    ),
    "larger tokenizer": (
        lambda f: edit(f / "config.json", vocab_size=256),
        "one whose tokenizer fits its 256 embeddings: this one has 500 tokens",
    ),
    "smaller tokenizer": (lambda f: edit(f / "config.json", vocab_size=128_256), "this one has 500 tokens"),
    "another tokenizer": (
        lambda f: edit(f / "config.json", bos_token_id=7),
        "starts with token 7, as its config.json says, and not 0",
    ),
}


def refused(capsys, words):
    """Run a command that must be refused, and return its one line."""
    assert main([str(word) for word in words]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("the reward model")]
    assert len(lines) == 1
    assert lines[0].startswith("fpo-jax: error: ")
    return lines[0]


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


PROMPTS = {
    "": "it is empty",
    "\n \n": "it is empty",
    '{"prompt": "a"}\n{"prompt": \n': "line 2: must be one JSON object",
    '{"prompt": "a"}\n\n{"text": "b"}\n': 'line 3: must be a JSON object with a text "prompt"',
    '["a"]\n': 'line 1: must be a JSON object with a text "prompt"',
    '{"prompt": "a"}\n{"prompt": "  "}\n': "line 2: must be a prompt that is not empty",
}


@pytest.mark.parametrize("text", PROMPTS)
def test_prompts(text, checkpoint, tmp_path, capsys):
    path = tmp_path / "prompts.jsonl"
    path.write_text(text, encoding="utf-8")
    error = refused(capsys, ["llm", "--model", checkpoint, "--prompts", path, "--out", tmp_path / "out"])
    assert PROMPTS[text] in error
    assert [one.name for one in tmp_path.iterdir()] == ["prompts.jsonl"]


def test_what_is_not_there(checkpoint, prompts, reward_model, tmp_path, capsys):
    told = ["--model", checkpoint, "--prompts", prompts, "--precision", "float32"]
    for words, wanted in {
        ("llm", "--prompts", prompts): "model = nothing",
        ("llm", "--model", checkpoint): "prompts = nothing",
        ("llm", "--model", "llama-3.2-1b", "--prompts", prompts): "--dry-run",
        ("llm", "--model", checkpoint, "--prompts", tmp_path / "none"): "No such file",
        ("llm", *told, "--resume"): "that of the run to resume",
        ("llm", *told, "--resume", "--out", tmp_path / "out"): "no run was interrupted",
        ("llm", *told, "--devices", 99): "at most 2, which is what JAX sees",
        ("llm", *told, "--prompt-limit", 5): "more than the 19 tokens of an empty prompt",
        ("llm", *told, "--oracle", checkpoint): "a checkpoint with score.weight",
        ("llm", *told, "--reward-model", tmp_path): "it has no config.json",
        ("llm", *told, "--random", True, "--placement", "divided"): "replicated where weights are drawn",
        ("llm", *told, "--candidates", 0): "an integer >= 1",
        ("llm", *told, "--top-p", 0): "<= 1",
        ("llm", *told, "--lora-modules", "q"): "one of q_proj",
        ("answer", *told): "out = nothing",
        ("answer", *told, "--out", tmp_path / "none" / "a.jsonl"): "a file in a folder that is there",
        ("answer", *told, "--out", tmp_path / "a.jsonl", "--adapter", tmp_path): "no adapter_config.json",
        ("llm", "--dry-run", "--model", "llama-7"): "one of llama-3.2-1b",
    }.items():
        assert wanted in refused(capsys, words), words
    assert not list(tmp_path.iterdir())


def test_an_adapter_of_another_model(checkpoint, prompts, tmp_path, capsys):
    import jax

    from fpo_jax.experiments.llm import adapter
    from fpo_jax.experiments.llm.model import Config, Lora, fresh_adapter

    config = read_config(checkpoint, "model")
    wider = Config(**(vars(config) | {"embed_dim": 32}))
    lora = Lora(4)
    adapter.save(tmp_path / "adapter", fresh_adapter(wider, lora, jax.random.key(0)), wider, lora, "other")
    told = ["--model", checkpoint, "--prompts", prompts, "--adapter", tmp_path / "adapter"]
    error = refused(capsys, ["answer", *told, "--out", tmp_path / "a.jsonl"])
    assert "made for this model: base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" in error
    assert "has shape [4, 32], not [4, 64]" in error


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
        assert f"one with the model's tokenizer: token {lower[0]} is {lower[1]!r} there" in error
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert "one whose tokenizer can be read" in refused(capsys, [*told, "--oracle", folder])
    assert [path.name for path in tmp_path.iterdir()] == ["reward"]


def test_answers_on_a_full_disk(checkpoint, prompts, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "chmod", full)
    told = ["--model", checkpoint, "--prompts", prompts, "--precision", "float32", "--tokens", 2]
    assert main([str(word) for word in ["answer", *told, "--out", tmp_path / "a.jsonl"]]) == 2
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("command", "left"), [("llm", True), ("answer", True), ("run", False)])
def test_what_the_compiler_is_told_is_for_small_arrays_only(command, left, monkeypatch, capsys):
    monkeypatch.setenv("XLA_FLAGS", "")
    assert main([command, "--seed", "0"]) == 2
    assert (os.environ["XLA_FLAGS"] == "") == left


ADAPTERS = {
    "no rank": ({"r": None}, "r in adapter_config.json = None: must be an integer >= 1"),
    "rank 0": ({"r": 0}, "r in adapter_config.json = 0: must be an integer >= 1"),
    "rank as a text": ({"r": "4"}, "r in adapter_config.json = 4: must be an integer >= 1"),
    "no scale": (
        {"lora_alpha": None},
        "lora_alpha in adapter_config.json = None: must be a finite number >= 0",
    ),
    "scale as a text": ({"lora_alpha": "much"}, "lora_alpha in adapter_config.json = much"),
    "several ranks": ({"rank_pattern": {"q_proj": 8}}, "rank_pattern in adapter_config.json = {'q_proj': 8}"),
    "several scales": ({"alpha_pattern": {"q_proj": 8}}, "alpha_pattern in adapter_config.json"),
    "biases": ({"bias": "all"}, "bias in adapter_config.json = all: must be none"),
    "modules as objects": ({"target_modules": [{}]}, "LoRA on some of q_proj"),
}


@pytest.fixture(scope="module")
def stored_adapter(checkpoint, tmp_path_factory):
    """A folder with an adapter for the checkpoint."""
    import jax

    from fpo_jax.experiments.llm import adapter
    from fpo_jax.experiments.llm.model import Lora, fresh_adapter

    folder, config, lora = (
        tmp_path_factory.mktemp("adapters") / "adapter",
        read_config(checkpoint, "model"),
        Lora(4),
    )
    adapter.save(folder, fresh_adapter(config, lora, jax.random.key(0)), config, lora, "tiny")
    return folder


@pytest.mark.parametrize("case", ADAPTERS)
def test_adapters(case, stored_adapter, checkpoint, prompts, tmp_path, capsys):
    changes, wanted = ADAPTERS[case]
    folder = shutil.copytree(stored_adapter, tmp_path / "adapter")
    edit(folder / "adapter_config.json", **changes)
    told = ["--model", checkpoint, "--prompts", prompts, "--adapter", folder]
    assert wanted in refused(capsys, ["answer", *told, "--out", tmp_path / "a.jsonl"])
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_an_adapter_in_bfloat16(stored_adapter, checkpoint, tmp_path):
    """PEFT keeps an adapter in the model's precision: 8 bits of each number are left, 1 part in 2⁸."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from safetensors.flax import save_file as save_flax

    from fpo_jax.experiments.llm import adapter

    config, folder = read_config(checkpoint, "model"), shutil.copytree(stored_adapter, tmp_path / "adapter")
    path = folder / adapter.WEIGHTS
    save_flax({name: jnp.asarray(a, jnp.bfloat16) for name, a in load_file(path).items()}, path)
    wanted, found = (jax.tree.leaves(adapter.load(one, config)[0]) for one in (stored_adapter, folder))
    for a, b in zip(wanted, found, strict=True):
        assert b.dtype == jnp.float32
        np.testing.assert_allclose(b, a, rtol=2**-8)


def test_a_config_with_what_is_no_list_of_projections(given, tmp_path, capsys):
    for value in (5, [5], "q_proj"):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(given | {"lora_modules": value}), encoding="utf-8")
        error = refused(capsys, ["llm", "--config", path])
        assert "lora_modules = " in error
        assert "must be a list of q_proj" in error


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
    with pytest.raises(InputError, match=r"must be readable \(.*\); remove .* and begin again"):
        unfinished.load(start)


def test_prompts_that_are_too_long_are_cut_with_a_count(checkpoint, prompts, capsys):
    """At the end of their text; the template around them stays whole."""
    tokenizer, texts = Tokenizer(checkpoint, read_config(checkpoint, "model")), read_prompts(prompts)
    whole = [tokenizer.encode(text, 512) for text in texts]
    say_cut(whole, 512)
    assert capsys.readouterr().err == ""
    limit = sorted(len(prompt.tokens) for prompt in whole)[3] - 1
    long = [len(prompt.tokens) > limit for prompt in whole]
    short = [tokenizer.encode(text, limit) for text in texts]
    say_cut(short, limit)
    assert capsys.readouterr().err == f"3 of 6 prompts are longer than {limit} tokens, and were cut\n"
    for before, after, was_long in zip(whole, short, long, strict=True):
        assert (after.cut > 0) == was_long
        assert len(after.tokens) <= limit
        assert after.tokens[:4] == before.tokens[:4]
        assert after.tokens[-6:] == before.tokens[-6:]
    with pytest.raises(InputError, match="more than the 19 tokens of an empty prompt"):
        tokenizer.encode("a", 18)


def test_chat_template_and_plain_text(checkpoint):
    config = read_config(checkpoint, "model")
    turn = Tokenizer(checkpoint, config).encode("Why?", 512).tokens
    plain = Tokenizer(checkpoint, config, chat=False).encode("Why?", 512).tokens
    inner = Tokenizer(checkpoint, config).inner
    assert inner.decode(turn).startswith("<|begin_of_text|><|start_header_id|>user<|end_header_id|>")
    assert inner.decode(plain) == "<|begin_of_text|>Why?"


def test_padding():
    assert [len(pad_to_bucket(range(n), 100)) for n in (1, 32, 33, 64, 65, 100)] == [32, 32, 64, 64, 100, 100]
    assert re.fullmatch(r"\[0 1 2( 0)+\]", " ".join(str(pad_to_bucket(range(3), 100)).split()))
