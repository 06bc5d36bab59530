"""Files of answers, read and matched: one JSON object a line, `{"prompt": …, "response": …}`."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.json_files import JsonLine, json_lines


class AnswerLine(NamedTuple):
    """One answer, and its line in the file."""

    prompt: str
    response: str
    line: int


class AnswerPair(NamedTuple):
    """A prompt, and the answers of A and B."""

    prompt: str
    a: str
    b: str


def read_answers(path: Path) -> list[AnswerLine]:
    """Read a file of answers; fields beside prompt and response are ignored, and so are empty lines.

    Raises:
        InputError: when the file cannot be read, or with the first line that is not an answer.
    """
    if "\0" in str(path):
        raise InputError("answers", path, "the name of a file")
    answers = [_answer(line) for line in json_lines(path, "answers")]
    if not answers:
        raise InputError("answers", path, "a file with one JSON object a line, but it is empty")
    return answers


def _answer(line: JsonLine) -> AnswerLine:
    prompt, response = line.fields.get("prompt"), line.fields.get("response")
    if not isinstance(prompt, str) or not isinstance(response, str):
        allowed = 'a JSON object with "prompt" and "response", both of them text'
        raise InputError("answers", line.where, allowed)
    return AnswerLine(prompt, response, line.number)


def matched(first: Path, second: Path) -> list[AnswerPair]:
    """Read two files that answer the same prompts in the same order.

    Raises:
        InputError: as `read_answers`; names the first line whose prompts differ, or else both counts.
    """
    a, b = read_answers(first), read_answers(second)
    for one, other in zip(a, b, strict=False):
        if one.prompt != other.prompt:
            where = f"line {other.line}" + ("" if one.line == other.line else f", line {one.line} there")
            allowed = f"answers to the prompts of {first} in the same order; the first difference: {where}"
            raise InputError("answers", second, allowed)
    if len(a) != len(b):
        raise InputError(
            "answers", second, f"a file with {len(a)} answers, as {first} has, but it has {len(b)}"
        )
    return [AnswerPair(one.prompt, one.response, other.response) for one, other in zip(a, b, strict=True)]


def pairs_digest(pairs: Sequence[AnswerPair]) -> str:
    """Return the SHA-256 of all pairs, which identifies the answers."""
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()
