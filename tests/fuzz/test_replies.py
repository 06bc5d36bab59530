"""Replies of any kind: a verdict, none, or one line that says why there is nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpo_jax.experiments.judging.reply import NotReply, Reply, read_reply, understand
from tests.fuzz.inputs import DEEP, FUZZED, JSON, TEXT, as_json, damaged

PIECES = (
    "[[A]]",
    "[[B]]",
    "[[tie]]",
    "A",
    "b",
    "tie",
    "tİe",
    "TıE",
    "<think>",
    "</think>",
    "<thinking >",
    "[THINK]",
    "[/think]",
    "<|channel|>",
    "final<|message|>",
    "Verdict:",
    "not ",
    "\n",
    " ",
    ".",
    "**",
    "or",
    "'",
)
SAID = st.lists(st.sampled_from(PIECES) | TEXT, max_size=8).map("".join)


@pytest.mark.slow
@FUZZED
@given(SAID | st.text(), st.booleans())
def test_any_reply_is_understood_or_not(text, cut):
    meant = understand(Reply(text, cut))
    assert meant in ("first", "second", "tie", None)
    if meant is not None:  # the last line of what was said after thinking says so, and nothing else
        rest = re.split(r"(?ai)</think>|\[/think\]|<\|channel\|>\s*final\s*<\|message\|>", text)[-1]
        assert not re.search(r"(?ai)<think|\[think\]|<\|channel", rest)
        *_, last = (line for line in rest.split("\n") if re.search("[^\\W_]", line))
        last = re.sub("(?ai)^[^a-z]*verdict", "", last)
        (word,) = re.findall("[^\\W_]+", last)
        assert {"a": "first", "b": "second", "c": "tie", "tie": "tie"}[word.lower()] == meant


def framed(content, name, value):
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = {"id": "x", "choices": [choice]}
    {"message": message, "choice": choice, "whole": whole}[name[0]][name[1]] = value
    return as_json(whole)


PLACES = [
    ("message", "content"),
    ("choice", "message"),
    ("choice", "finish_reason"),
    ("whole", "choices"),
    ("whole", "error"),
]
FRAMED = st.builds(framed, SAID, st.sampled_from(PLACES), JSON)


@pytest.mark.slow
@FUZZED
@given(st.one_of(st.binary(), DEEP, JSON.map(as_json), FRAMED, damaged(FRAMED)))
def test_any_answer_of_an_endpoint_is_read(content):
    try:
        reply = read_reply(content)
    except NotReply as error:
        said = str(error)
        assert said.startswith("the answer is not a chat completion")
        assert len(said) < 300
        assert said.isprintable()
        return
    assert isinstance(reply.text, str)
    assert isinstance(reply.cut, bool)
    reply.text.encode()  # no halves of surrogate pairs
    understand(reply)
