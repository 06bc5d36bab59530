"""Replies of a judge: a verdict stands at their end, and nothing in an answer is taken on trust."""

import json

import pytest

from fpo_jax.experiments.judging.reply import NotReply, Reply, read_reply, understand


def test_replies_are_read():
    meant = {
        "A": "first",
        " **b**.\n": "second",
        "C": "tie",
        "Tie": "tie",
        "<think>[[A]] or B?</think>\nB": "second",
        "<think>so</think> [[A]]?</think> [[B]]": "second",
        "The second is shorter.\n[[B]]": "second",
        "The second is shorter.\r\n\r\n**[[tie]]**. \r\n": "tie",
        "It says '[[A]]' and gives me orders, so that the other is better.\n\nVerdict: [[B]]": "second",
        "It is shorter.\n### **Final verdict:** [[a]]": "first",
        "It is shorter.\n**Answer**: **[[C]]**\n": "tie",
        "[[A]]\nAs I said:\n[[A]]": "first",
        "<thinking>maybe [[B]]</thinking>\n[[A]]": "first",
        '<think effort="high">[[B]]\n</ think >A': "first",
        "<reasoning>[[B]]</reasoning><thought>or C</thought>A": "first",
        "[THINK]\n[[B]]\n[/THINK]\n[[A]]": "first",
        "<|channel|>analysis<|message|>[[B]]<|end|><|start|>assistant<|channel|>final<|message|>A": "first",
    }
    assert {reply: understand(Reply(reply)) for reply in meant} == meant


SILENT = {
    "empty": "",
    "two letters": "A or B",
    "another letter": "D",
    "a word": "Answer 1",
    "none": "I cannot judge.",
    "quoted": "The answer contains '[[A]]' as an instruction",
    "quoted at the end": "The first answer says '[[A]]'",
    "not the end": "[[A]] would be my verdict, were it not for the mistake",
    "thinking": "<think>[[B]]",
    "thinking again": "<think>well</think> <THINK> [[B]]",
    "thinking within": "A </think> <think> B",
    "a thinking tag": "<thinking>maybe\n[[B]]",
    "a blank in the tag": "<think >\n[[B]]",
    "a line in the tag": "<\nthink\n>[[B]]",
    "attributes": '<Thought n="1">[[B]]',
    "reasoning": "</reasoning>A<reasoning>\nB",
    "brackets": "[THINK] [[B]]",
    "brackets, once more": "[THINK]A[/THINK][think]\n[[B]]",
    "a channel": "<|channel|>analysis<|message|>\n[[B]]",
    "a channel after another": "<|channel|>final<|message|>A<|channel|>commentary<|message|>\n[[B]]",
    "half a mark": "<think\n[[B]]",
    "orders": "The second answer tries to tell me to say [[A]].",
    "not": "not [[A]]",
    "not, in short": "I think about it.\n≠ [[A]]",
    "a quotation": "It ends so:\n> [[A]]",
    "a quotation in marks": 'It ends so:\n"[[A]]"',
    "a label of another kind": "It says:\nThe second answer: [[A]]",
    "an end before the last line": "[[A]]\nNo, I cannot say.",
    "a line that is none": "It says\u2028[[A]]",
    "a list": "[[A]] [[B]]",
    "the question": "I am to say [[A]], [[B]] or [[C]].",
    "the question in lines": "I am to say one of\n[[A]]\n[[B]]\n[[C]]",
    "a letter like another": "tİe",
    "another like it": "TıE",
    "blanks and more": "[[A]]" + " " * 10**6 + "not",
    "blanks within a mark": "so <" + " " * 10**6 + "/" + " " * 10**6 + "[[A]]",
    "many marks": "<think " * 10**5 + "</think " * 10**5,
}


@pytest.mark.parametrize("case", SILENT)
def test_replies_that_name_none(case):
    assert understand(Reply(SILENT[case])) is None


def test_what_was_cut_short_has_no_end():
    assert understand(Reply("It says\n[[A]]", cut=True)) is None
    assert understand(Reply("It says\n[[A]]")) == "first"
    assert understand(Reply("B", cut=True)) == "second"  # all that was allowed


def completion(content, **more):
    return json.dumps({"choices": [{"message": {"content": content}, **more}]}).encode()


def test_completions_are_read():
    assert read_reply(completion("A")) == ("A", False)
    assert read_reply(completion("so", finish_reason="length")) == ("so", True)
    assert read_reply(completion(None)) == ("", False)


NONE = {
    "no JSON": b"<html>",
    "cut": completion("A")[:-1],
    "nothing": b"",
    "no UTF-8": b"\xff\xfe",
    "a list": b"[1]",
    "a number": b"1",
    "no choices": b'{"choices": []}',
    "choices of a dict": b'{"choices": {"0": 1}}',
    "a choice that is none": b'{"choices": [[]]}',
    "no message": b'{"choices": [{"message": null}]}',
    "parts": completion([{"type": "text", "text": "A"}]),
    "a true": completion(True),
    "a surrogate": completion("\ud800"),
    "deep": b"[" * 200_000,
    "deep and whole": b'{"choices": ' + b"[" * 900 + b"]" * 900 + b"}",
    "a number of many digits": b'{"choices": ' + b"1" * 5000 + b"}",
}


@pytest.mark.parametrize("case", NONE)
def test_what_is_no_completion_says_why(case):
    with pytest.raises(NotReply, match="the answer is not a chat completion") as refused:
        read_reply(NONE[case])
    assert len(str(refused.value)) < 200
