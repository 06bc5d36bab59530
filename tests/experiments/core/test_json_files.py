"""JSON of others: what is read, and the few words in which the rest is refused."""

import json
import os
from pathlib import Path

import pytest

from fpo_jax import InputError
from fpo_jax.experiments.core.json_files import DEEPEST, NotJson, document, json_lines, parsed, raw_lines

REFUSED = {
    "brackets without end": ("[" * 200_000, "more than 64 levels"),
    "objects without end": ('{"a":' * 200_000, "more than 64 levels"),
    "one level too many": ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "more than 64 levels"),
    "cut short": ('{"a": [1', "Expecting ',' delimiter, character 9"),
    "nothing": ("", "Expecting value, character 1"),
    "no number": ('{"a": NaN}', "NaN is not a number in JSON"),
    "no end": ("[-Infinity]", "-Infinity is not a number in JSON"),
    "too large": ("[1e999]", "1e999 is too large a number"),
    "half a pair": (r'{"a": ["\ud83d"]}', "half a surrogate pair"),
    "half a pair as a name": (r'{"\ud83d": 1}', "half a surrogate pair"),
    "thousands of digits": ("9" * 5000, "Exceeds the limit"),
    "no text": (b'{"a": "\xff"}', "it is not UTF-8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_json_is_refused_in_a_few_words(name):
    text, why = REFUSED[name]
    with pytest.raises(NotJson, match=why) as refused:
        parsed(text)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200


def test_all_else_is_what_it_says():
    deep = "[" * DEEPEST + "]" * DEEPEST
    assert json.dumps(parsed(deep)) == deep
    assert parsed(r'{"a": "\ud83d\ude00", "b": "\\ud83d"}') == {"a": "\U0001f600", "b": r"\ud83d"}
    assert parsed(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_a_document_has_a_size(tmp_path):
    path = tmp_path / "large.json"
    path.write_text("[1, 2]", encoding="utf-8")
    assert document(path, most=6) == [1, 2]
    with pytest.raises(NotJson, match="more than 5 bytes"):
        document(path, most=5)


def test_what_is_no_plain_file_is_not_waited_for(tmp_path):
    """A pipe has no end before somebody writes, /dev/zero has none; a file of settings may name both."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(OSError, match="it is no plain file"):
            document(path)
        with pytest.raises(InputError, match=r"answers = .*a file that can be read \(it is no plain file\)"):
            [*json_lines(path, "answers")]


def test_of_a_long_line_only_the_beginning_is_held(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"12345678901234567890\n\n123\r\n12345")
    assert [*raw_lines(path, most=5)] == [(1, b"123456"), (3, b"123\r\n"), (4, b"12345")]


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"a": 1}\n\n{"b": \x1b[31m}\n', encoding="utf-8")
    lines = json_lines(path, "answers")
    assert next(lines).fields == {"a": 1}
    said = r'answers = .*line 3: must be one JSON object, but it is \{"b": \\x1b\[31m\} \(Expecting value'
    with pytest.raises(InputError, match=said):
        next(lines)
