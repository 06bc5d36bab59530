"""Prompts: what separates lines, what may stand in front, what is cut, and how they are padded."""

import itertools
import json
import re

import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments.llm.prompts import Tokenizer, pad_to_bucket, prompt_file, read_prompts, say_cut
from fpo_jax.experiments.llm.sizes import read_config
from tests.experiments.llm.conftest import refused


def test_a_line_ends_where_json_says(tmp_path):
    """U+2028, U+2029 and U+0085, which end lines of text, stand in JSON texts as they are."""
    texts = ["one\u2028two\u2029three\u0085four", "next"]
    path = tmp_path / "prompts.jsonl"
    written = "\r\n".join(json.dumps({"prompt": text}, ensure_ascii=False) for text in texts)
    assert "\u2028" in written
    path.write_bytes(b"\xef\xbb\xbf" + written.encode())  # with a byte-order mark, and line ends of Windows
    assert read_prompts(path) == texts


def test_what_is_nested_too_deep_is_no_prompt(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "a"}\n' + "[" * 100_000, encoding="utf-8")
    with pytest.raises(InputError, match="line 2: must be one JSON object"):
        read_prompts(path)


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


def test_the_instructions_that_come_with_the_package(checkpoint):
    """200, none twice or nearly so, none cut; any twenty in a row are of several kinds."""
    texts = read_prompts(prompt_file("included"))
    assert len(texts) == 200
    words = [frozenset(re.findall(r"\w+", text.lower())) for text in texts]
    alike = [len(a & b) / len(a | b) for a, b in itertools.combinations(words, 2)]
    assert max(alike) <= 0.5  # "Explain the difference between …" with two other things
    reader = Tokenizer(checkpoint, read_config(checkpoint, "model"))
    assert not any(reader.encode(text, 128).cut for text in texts)
    for first in range(0, 200, 20):
        assert len({text.split()[0] for text in texts[first : first + 20]}) >= 7


def test_a_file_may_have_the_name_of_the_included_instructions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "included").write_text('{"prompt": "mine"}\n', encoding="utf-8")
    assert read_prompts(prompt_file("./included")) == ["mine"]
    assert len(read_prompts(prompt_file("included"))) == 200
