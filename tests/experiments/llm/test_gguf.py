"""GGUF files, read and made into checkpoints; those that cannot be used: one line each, and nothing left."""

import collections
import json
import shutil

import jax
import numpy as np
import platformdirs
import pytest
import torch
from transformers import LlamaForCausalLM

from fpo_jax.errors import InputError
from fpo_jax.experiments.cli.main import main
from fpo_jax.experiments.llm import conversion, gguf_file
from fpo_jax.experiments.llm.config import Rope
from fpo_jax.experiments.llm.located import located
from fpo_jax.experiments.llm.prompts import Tokenizer
from fpo_jax.experiments.llm.sizes import read_config
from tests.experiments.llm.conftest import lines, model_config, refused
from tests.experiments.llm.gguf_files import KINDS, header_of, tensors_of, write
from tests.experiments.llm.test_model import all_logits, load, their_logits


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: folder / name)
    return folder / "fpo-jax" / "models"


@pytest.fixture(scope="module")
def plain(tmp_path_factory, tokenizer):
    """A checkpoint whose rotary embedding a GGUF header can say."""
    folder = tmp_path_factory.mktemp("models") / "plain"
    torch.manual_seed(0)
    rope = {"rope_type": "default", "rope_theta": 10_000.0}
    LlamaForCausalLM(model_config(tokenizer, rope_parameters=rope)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def parts(plain):
    return tensors_of(plain), header_of(plain)


def test_logits_of_a_quantised_file_are_those_of_transformers(parts, plain, tmp_path, cache):
    """They differ from those of the checkpoint that was quantised by more than our tolerance."""
    path = write(tmp_path / "tiny.gguf", *parts, KINDS)
    theirs = LlamaForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32).eval()
    tokens = np.random.default_rng(0).integers(0, 500, (1, 40))
    wanted = their_logits(theirs, tokens)
    before = their_logits(LlamaForCausalLM.from_pretrained(plain, dtype=torch.float32).eval(), tokens)
    assert np.abs(wanted - before).max() > 1e-2
    np.testing.assert_allclose(all_logits(load(located(str(path))), tokens), wanted, atol=1e-4)
    assert [folder.name.rsplit("-", 1)[0] for folder in cache.iterdir()] == ["tiny"]


def test_a_file_is_converted_once_and_by_its_contents(parts, tmp_path, cache, monkeypatch):
    path = write(tmp_path / "tiny.gguf", *parts)
    folder = located(str(path))
    monkeypatch.setattr(conversion, "convert", None)  # is not called again
    shutil.copy(path, tmp_path / "again.gguf")
    assert located(str(path)) == folder
    with pytest.raises(TypeError):
        located(str(tmp_path / "again.gguf"))
    assert [*cache.iterdir()] == [folder]


def test_texts_have_the_tokens_of_the_tokenizer_that_was_written(parts, plain, tmp_path):
    folder = located(str(write(tmp_path / "tiny.gguf", *parts)))
    ours, theirs = (Tokenizer(one, read_config(one, "model"), chat=True) for one in (folder, plain))
    texts = [*lines()[:50], "don't  twice", "x\n\n y", "caf\u00e9 \U0001f600", "1234 <|eot_id|>"]
    assert [ours.inner(text)["input_ids"] for text in texts] == [
        theirs.inner(text)["input_ids"] for text in texts
    ]
    assert ours.render("Why?") == theirs.render("Why?")
    assert (ours.begins, ours.ends) == (theirs.begins, theirs.ends) == ((0,), (2,))


def test_how_text_is_split_by_the_name_of_a_splitter():
    """SmolLM's takes digits one by one, Llama 3's by threes and without the space in front."""
    from fpo_jax.experiments.llm.gguf_tokenizer import _splits

    said = {
        name: [part for part, _ in split.pre_tokenize_str("it's 12345 km")]
        for name, split in _splits().items()
    }
    assert said["gpt-2"] == ["it", "'s", "\u012012345", "\u0120km"]
    assert said["smollm"] == ["it", "'s", "\u0120", "1", "2", "3", "4", "5", "\u0120km"]
    assert said["llama-bpe"] == ["it", "'s", "\u0120", "123", "45", "\u0120km"]


def test_answers_of_a_file_are_those_of_its_checkpoint(parts, plain, prompts, tmp_path):
    path = write(tmp_path / "tiny.gguf", *parts)  # in float32, so that nothing is rounded
    told = ["--prompts", str(prompts), "--precision", "float32", "--tokens", "8", "--prompt-limit", "64"]
    for name, model in {"a": path, "b": plain}.items():
        assert main(["answer", "--model", str(model), *told, "--out", str(tmp_path / name)]) == 0
    said = (tmp_path / "a").read_text(encoding="utf-8")
    assert said == (tmp_path / "b").read_text(encoding="utf-8")
    assert any(json.loads(line)["response"] for line in said.splitlines())


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_factors_of_llama_3_are_known_again(factor, parts, tmp_path):
    """Files have plain frequencies divided by scaled ones, as `Rope` computes, which other tests compare."""
    tensors, header = parts
    rope = Rope(250_000.0, "llama3", factor)
    factors = (Rope(250_000.0).frequencies(16) / rope.frequencies(16)).astype(np.float32)
    assert factors[0] == 1
    assert factors[-1] == pytest.approx(factor)
    header = header | {"llama.rope.freq_base": 250_000.0}
    path = write(tmp_path / "tiny.gguf", {**tensors, "rope_freqs.weight": factors}, header)
    assert read_config(located(str(path)), "model").rope == rope
    strange = write(tmp_path / "other.gguf", {**tensors, "rope_freqs.weight": 2 * factors}, header)
    with pytest.raises(InputError, match=r"rope_freqs.weight = .*: must be those of Llama 3.1 or 3.2"):
        located(str(strange))


def test_weights_that_fill_a_file_go_on_in_the_next(parts, plain, tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "SHARD", 2**16)
    folder = located(str(write(tmp_path / "tiny.gguf", *parts)))
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    jax.tree.map(np.testing.assert_array_equal, load(folder).frozen, load(plain).frozen)


def without(**more):
    return lambda tensors, header: (
        tensors,
        header | {name.replace("__", "."): v for name, v in more.items()},
    )


def lacking(name):
    return lambda tensors, header: ({n: v for n, v in tensors.items() if n != name}, header)


def having(**more):
    return lambda tensors, header: (tensors | {n.replace("__", "."): v for n, v in more.items()}, header)


MADE = {
    "layers as a text": (without(llama__block_count="two"), "num_hidden_layers in config.json = two"),
    "no sizes": (without(llama__embedding_length=None), "hidden_size in config.json = None"),
    "more layers": (without(llama__block_count=3), "it lacks model.layers.2.self_attn.q_proj.weight"),
    "fewer layers": (without(llama__block_count=1), "it has 'blk.1."),
    "other sizes": (
        without(llama__feed_forward_length=128),
        "shape of blk.0.ffn_gate.weight in bad.gguf = [160, 64]: must be [128, 64], as its header says",
    ),
    "heads that are rotated in part": (
        without(llama__rope__dimension_count=8),
        "rope.dimension_count of bad",
    ),
    "another rotary embedding": (
        without(llama__rope__scaling__type="yarn"),
        "one of default, linear, llama3",
    ),
    "a tensor short": (lacking("blk.1.ffn_up.weight"), "it lacks model.layers.1.mlp.up_proj.weight"),
    "no embeddings": (lacking("token_embd.weight"), "vocab_size in config.json = None"),
    "a bias": (having(blk__0__attn_q__bias=np.ones(64, np.float32)), "it has 'blk.0.attn_q.bias'"),
    "another tokenizer": (
        without(tokenizer__ggml__model="llama"),
        "tokenizer.ggml.model of bad.gguf = llama",
    ),
    "another splitter": (without(tokenizer__ggml__pre="qwen2"), "must be one of gpt-2, smollm, llama-bpe"),
    "no tokens": (without(tokenizer__ggml__tokens=None), "cut short or damaged ('tokens')"),
    "tokens twice": (without(tokenizer__ggml__tokens=["a"] * 500), "cut short or damaged"),
    "a merge that is none": (without(tokenizer__ggml__merges=["a b c"]), "cut short or damaged"),
    "an end that is no token": (without(tokenizer__ggml__eos_token_id=10**6), "cut short or damaged"),
}


@pytest.mark.parametrize("case", MADE)
def test_files_that_are_no_such_llama(case, parts, prompts, tmp_path, cache, capsys):
    change, wanted = MADE[case]
    path = write(tmp_path / "bad.gguf", *change(*parts))
    error = refused(capsys, ["llm", "--model", path, "--prompts", prompts, "--out", tmp_path / "out"])
    assert wanted in error
    assert "model" in error
    assert [one.name for one in tmp_path.iterdir()] == ["bad.gguf"]
    assert not cache.exists() or not [*cache.iterdir()]


def test_files_that_are_damaged(parts, prompts, tmp_path, cache, capsys):
    words = ["answer", "--prompts", prompts, "--out", tmp_path / "out", "--model"]
    whole = write(tmp_path / "whole.gguf", *parts).read_bytes()
    path = tmp_path / "bad.gguf"
    for size in (0, 3, 20, 2000, len(whole) // 2, len(whole) - 100):
        path.write_bytes(whole[:size])
        error = refused(capsys, [*words, path])
        assert "a complete GGUF file, but it is cut short or damaged" in error, size
    path.write_bytes(b"PK" + whole[2:])
    assert "a complete GGUF file" in refused(capsys, [*words, path])
    assert "nothing has this name" in refused(capsys, [*words, tmp_path / "none.gguf"])
    other = write(tmp_path / "other.gguf", *parts, architecture="qwen2")
    assert "general.architecture of other.gguf = qwen2: must be llama" in refused(capsys, [*words, other])
    assert not cache.exists()


def test_lengths_without_measure_end_at_once(parts, tmp_path):
    """2⁶⁰ numbers are announced where a few bytes follow, which `gguf` alone would go on to look for."""
    header = collections.OrderedDict(general_key=[7] * 3)
    whole = write(tmp_path / "a.gguf", {}, header).read_bytes()
    key = whole.index(b"general_key") + len("general_key") + 8
    (tmp_path / "b.gguf").write_bytes(whole[:key] + (2**60).to_bytes(8, "little") + whole[key + 8 :])
    with pytest.raises(InputError, match="it ends too early"):
        gguf_file.read(tmp_path / "b.gguf", "model")


def test_numbers_that_cannot_be_read(parts, prompts, tmp_path, cache, capsys):
    tensors, header = parts
    whole = {"blk.0.attn_k.weight": np.zeros((32, 64), np.int8)}
    path = write(tmp_path / "bad.gguf", tensors | whole, header)
    error = refused(capsys, ["llm", "--model", path, "--prompts", prompts, "--out", tmp_path / "out"])
    assert "type of blk.0.attn_k.weight in bad.gguf = I8: must be a supported type, such as F32" in error
    assert not [*cache.iterdir()]


def test_a_tokenizer_without_chat_template(parts, prompts, tmp_path, capsys):
    tensors, header = parts
    path = write(tmp_path / "bare.gguf", tensors, header | {"tokenizer.chat_template": None})
    error = refused(capsys, ["llm", "--model", path, "--prompts", prompts, "--out", tmp_path / "out"])
    assert "one whose tokenizer has a chat template, or use --chat False" in error
    folder = located(str(path))
    assert Tokenizer(folder, read_config(folder, "model"), chat=False).render("Why?")[0] == 0


def test_a_disk_that_is_too_small(parts, prompts, tmp_path, cache, monkeypatch, capsys):
    path = write(tmp_path / "tiny.gguf", *parts)
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(1, 1, conversion.SPARE + 4 * 10**5))
    error = refused(capsys, ["answer", "--model", path, "--prompts", prompts, "--out", tmp_path / "out"])
    # 512 · 64 embeddings, 64 of the last norm, and 2 layers of 2 · 64² + 2 · 32 · 64 + 3 · 160 · 64 + 2 · 64
    assert 4 * (512 * 64 + 64 + 2 * (2 * 64**2 + 2 * 32 * 64 + 3 * 160 * 64 + 2 * 64)) == 476_416
    assert f"smaller: it takes 0.000476 GB in {cache}, where 0.0675 GB are free" in error
    assert not cache.exists()
