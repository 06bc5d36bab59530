"""Files of verdicts that somebody else may have written: what is no verdict is passed over."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpo_jax.experiments.judging.verdicts import OUTCOMES, Verdict, count_verdicts, position, read_verdicts
from tests.fuzz.inputs import FUZZED, JSON, damaged

PAIRS = 4
GOOD = [
    Verdict(0, "win", "", {"first": ["a"], "meant": ["first"], "replies": ["A"]}),
    Verdict(1, "tie", "the two orders disagree", {"first": ["a", "b"], "meant": ["first", "first"]}),
    Verdict(2, "error", "HTTP 500", {"first": ["b"], "meant": [], "replies": []}),
    Verdict(3, "loss", "", {"scores": [0.5, 1.5]}),
]
NAMES = ("pair", "outcome", "reason", "scores", "first", "meant", "replies", "more")
FRAMED = st.builds(
    lambda verdict, name, value: json.dumps({**json.loads(verdict.line()), name: value}).encode(),
    st.sampled_from(GOOD),
    st.sampled_from(NAMES),
    JSON,
)
LINES = st.lists(
    st.one_of(
        FRAMED,
        damaged(st.sampled_from(GOOD).map(lambda v: v.line().encode())),
        JSON.map(json.dumps).map(str.encode),
    ),
    max_size=4,
)


@pytest.mark.slow
@FUZZED
@given(LINES | st.binary(max_size=200).map(lambda content: [content]))
def test_any_file_is_read(tmp_path_factory, lines):
    path = tmp_path_factory.getbasetemp() / "verdicts.jsonl"
    path.write_bytes(b"\n".join([*lines, GOOD[3].line().encode()]))
    found = read_verdicts(path, PAIRS)
    assert found[3] == GOOD[3]  # the last line, whatever stands before
    for pair, verdict in found.items():
        assert type(pair) is int
        assert 0 <= pair == verdict.pair < PAIRS
        assert verdict.outcome in OUTCOMES
        assert all(map(math.isfinite, verdict.detail.get("scores", [])))
    path.write_text("".join(verdict.line() for verdict in found.values()), encoding="utf-8")
    assert read_verdicts(path, PAIRS) == found
    assert sum(count_verdicts(found.values())) == len(found)
    position(found.values(), both_orders=True)
