"""Prompts as JSON writes them: what separates lines, what may stand in front, what is nested too deep."""

import json

import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments.llm.prompts import read_prompts


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
