"""Verdicts in a file, a line each."""

import json
import os

import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments.judging.verdicts import Verdict, read_verdicts


def test_verdicts_are_lines(tmp_path):
    verdict = Verdict(2, "win", "", {"scores": [1.0, 0.5]})
    (tmp_path / "v.jsonl").write_text(
        Verdict(2, "error", "why").line() + verdict.line() + "nonsense\n[3]\n", encoding="utf-8"
    )
    assert read_verdicts(tmp_path / "v.jsonl", 3) == {2: verdict}
    assert read_verdicts(tmp_path / "v.jsonl", 2) == {}  # beyond the pairs that there are


NONE = {
    "deep": "[" * 200_000,
    "deep and whole": '{"pair": 0, "outcome": "win", "replies": ' + "[" * 900 + "]" * 900 + "}",
    "long": json.dumps({"pair": 0, "outcome": "win", "more": "x" * 2**16}),
    "a long reply": json.dumps({"pair": 0, "outcome": "win", "replies": ["x" * 2001]}),
    "meant": '{"pair": 0, "outcome": "win", "meant": 5}',
    "meant something": '{"pair": 0, "outcome": "win", "meant": ["third"]}',
    "meant lists": '{"pair": 0, "outcome": "win", "meant": [["first"]]}',
    "three times": '{"pair": 0, "outcome": "win", "meant": ["tie", "tie", "tie"]}',
    "outcome": '{"pair": 0, "outcome": []}',
    "another outcome": '{"pair": 0, "outcome": "wins"}',
    "pair": '{"pair": true, "outcome": "win"}',
    "half a pair": '{"pair": 0.0, "outcome": "win"}',
    "a pair before": '{"pair": -1, "outcome": "win"}',
    "replies": '{"pair": 0, "outcome": "win", "replies": "A"}',
    "replies of numbers": '{"pair": 0, "outcome": "win", "replies": [1]}',
    "first": '{"pair": 0, "outcome": "win", "first": ["c"]}',
    "no number": '{"pair": 0, "outcome": "win", "scores": [NaN, 1.0]}',
    "too large": '{"pair": 0, "outcome": "win", "scores": [1e400, 1.0]}',
    "text as scores": '{"pair": 0, "outcome": "win", "scores": ["1", "2"]}',
    "reason": '{"pair": 0, "outcome": "error", "reason": 5}',
    "surrogate": '{"pair": 0, "outcome": "win", "replies": ["\\ud800"]}',
}


@pytest.mark.parametrize("case", NONE)
def test_a_line_that_is_no_verdict_is_passed_over(case, tmp_path):
    kept = Verdict(1, "win", "", {"first": ["a"], "meant": ["first"], "replies": ["A"]})
    (tmp_path / "v.jsonl").write_text(f"{NONE[case]}\n{kept.line()}", encoding="utf-8")
    assert read_verdicts(tmp_path / "v.jsonl", 2) == {1: kept}


def test_two_of_the_longest_replies_are_read_again(tmp_path):
    verdict = Verdict(0, "tie", "the two orders disagree", {"replies": ["\U0001f600" * 2000] * 2})
    (tmp_path / "v.jsonl").write_text(verdict.line(), encoding="utf-8")
    assert read_verdicts(tmp_path / "v.jsonl", 1) == {0: verdict}


def test_verdicts_stand_in_a_plain_file(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "."):
        with pytest.raises(InputError, match="a plain file"):
            read_verdicts(tmp_path / name, 1)
    assert read_verdicts(tmp_path / "none", 1) == {}
