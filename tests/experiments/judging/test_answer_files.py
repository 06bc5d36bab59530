"""Files of answers that match, and files that do not."""

import json

import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments.judging.answer_files import matched


def test_files_that_do_not_match(folder):
    a, c = folder / "a.jsonl", folder / "c.jsonl"
    mismatches = {
        "no answer of a dict": ("[1]\n", "line 1: must be a JSON object with"),
        "no response": ('{"prompt": "prompt 0"}\n', "line 1: must be a JSON object with"),
        "no text": ('{"prompt": "prompt 0", "response": 3}\n', "line 1: .*both of them text"),
        "cut short": (
            '{"prompt": "prompt 0", "response": "x"}\n{"prom',
            r'line 2: must be one JSON object, but it is {"prom \(Unterminated string',
        ),
        "empty": ("\n", "but it is empty"),
        "fewer": (
            '\n{"prompt": "prompt 0", "response": "x"}\n',
            "a file with 6 answers, as .* has, but it has 1",
        ),
        "another prompt": (
            a.read_text(encoding="utf-8").replace("prompt 3", "prompt 4"),
            "the first difference: line 4",
        ),
    }
    for content, said in mismatches.values():
        c.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=said):
            matched(a, c)
    c.write_bytes(b'{"prompt": "\xff"}')
    with pytest.raises(InputError, match="not UTF-8"):
        matched(a, c)
    c.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(InputError, match="line 1: must be one JSON object"):
        matched(a, c)
    # a byte-order mark, Windows line ends and empty lines do no harm
    c.write_bytes(b"\xef\xbb\xbf" + a.read_bytes().replace(b"\n", b"\r\n\r\n"))
    assert [pair.a for pair in matched(a, c)] == [pair.b for pair in matched(a, c)]


def test_a_line_ends_where_json_says(tmp_path):
    """U+2028, U+2029 and U+0085, which end lines of text, stand in JSON texts as they are."""
    said = "one\u2028two\u2029three\u0085four"
    rows = [{"prompt": said, "response": said}, {"prompt": "next", "response": "one"}]
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    assert "\u2028" in path.read_text(encoding="utf-8")
    assert matched(path, path) == [(said, said, said), ("next", "one", "one")]


def test_a_name_that_no_file_has(tmp_path):
    """A configuration can name what no command line can."""
    with pytest.raises(InputError, match="the name of a file"):
        matched(tmp_path / "a\0b", tmp_path / "b")
