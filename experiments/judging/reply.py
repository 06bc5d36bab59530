"""Replies of an endpoint, and the preference in them; nothing in a reply is trusted."""

import re
from typing import NamedTuple

from fpo_jax.experiments.core.json_files import NotJson, parsed

_MEANING = {"a": "first", "b": "second", "c": "tie", "tie": "tie"}
_WORD = "((?ai:a|b|c|tie))"
_ALONE = re.compile(rf"[\W_]*{_WORD}[\W_]*")
_MARKS = r"[\s#*_.]*+"
_LABEL = rf"(?ai:(?:final )?(?:verdict|answer)){_MARKS}:{_MARKS}"
_VERDICT = re.compile(rf"{_MARKS}(?:{_LABEL})?\[\[{_WORD}\]\]{_MARKS}")
_THINKING = "(?:think|thinking|thought|reasoning)"
_OPENS = re.compile(rf"(?ai)<\s*+{_THINKING}\b|\[\s*+think\s*+\]|<\|channel\|>")
_CLOSES = re.compile(
    rf"(?ai)<\s*+/\s*+{_THINKING}\b[^<>]*+>|\[\s*+/\s*+think\s*+\]|<\|channel\|>\s*+final\s*+<\|message\|>"
)
"""Marks of thinking, as models write them: tags, Mistral's, and the channels of gpt-oss."""


class NotReply(ValueError):
    """An answer is not a chat completion; says why in a few words."""


class Reply(NamedTuple):
    """The text of a judge, and whether the server cut it short."""

    text: str
    cut: bool = False


def read_reply(content: bytes) -> Reply:
    """Return the content of a chat completion.

    Raises:
        NotReply: says why there is none.
    """
    try:
        choice = parsed(content)["choices"][0]
        text = choice["message"]["content"]
        cut = choice.get("finish_reason") == "length"
    except NotJson as error:
        raise NotReply(f"the answer is not a chat completion: {error}") from None
    except (AttributeError, IndexError, KeyError, TypeError):
        raise NotReply("the answer is not a chat completion") from None
    if text is not None and not isinstance(text, str):
        raise NotReply("the answer is not a chat completion: its content is not text")
    return Reply(text or "", cut)


def understand(reply: Reply) -> str | None:
    """Return which answer a reply prefers, "first", "second" or "tie"; None if it does not say.

    A reply is one letter, A, B or C, or "tie", with any punctuation around it. Or its last line that is not
    blank has such a letter in double square brackets, [[A]], with nothing else but blanks, Markdown marks,
    full stops and a label such as "Verdict:". If another line names another letter in this way, there is no
    verdict, and a truncated reply has none either. Thinking, up to the last mark that closes it, is not part
    of a reply; after unfinished thinking there is no reply.
    """
    answer = _CLOSES.split(reply.text)[-1]
    if _OPENS.search(answer):
        return None
    if alone := _ALONE.fullmatch(answer):
        return _MEANING[alone[1].lower()]
    lines = [_VERDICT.fullmatch(line) for line in answer.rstrip().split("\n")]
    meant = {_MEANING[found[1].lower()] for found in lines if found}
    return meant.pop() if lines[-1] and len(meant) == 1 and not reply.cut else None
