"""JSON of others: any text and any file of lines is a value or a few words."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.json_files import DEEPEST, NotJson, document, json_lines, parsed
from tests.fuzz.inputs import DEEP, FUZZED, JSON, as_json, damaged, is_one_line

pytestmark = pytest.mark.slow
DOCUMENT = st.one_of(JSON.map(as_json), damaged(JSON.map(as_json)), st.binary(), DEEP)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "file"


def depth(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def numbers(value):
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from numbers(inner)
    elif isinstance(value, float):
        yield value


@FUZZED
@given(DOCUMENT)
def test_any_document(path, content):
    path.write_bytes(content)
    try:
        found = document(path, most=2000)
    except NotJson as error:
        assert len(str(error)) < 200
        assert str(error).isprintable()
        if len(content) <= 2000:  # the library finds no fault that ours misses
            with pytest.raises(NotJson):
                parsed(content)
        return
    assert found == json.loads(content.decode("utf-8-sig"))
    assert depth(found) <= DEEPEST
    assert not any(map(math.isnan, numbers(found)))
    json.dumps(found, ensure_ascii=False).encode()  # it can be written


@FUZZED
@given(st.lists(DOCUMENT, max_size=4), st.sampled_from([b"\n", b"\r\n", b"\n\n", "\u2028".encode()]))
def test_any_file_of_lines(path, lines, end):
    path.write_bytes(end.join(lines))
    try:
        found = [*json_lines(path, "answers")]
    except InputError as error:
        assert is_one_line(error)
        return
    assert [line.number for line in found] == sorted({line.number for line in found})
    assert len(found) <= path.read_bytes().count(b"\n") + 1
