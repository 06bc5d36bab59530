"""What an endpoint answers, and which answer a judge prefers: nothing in a reply is taken on trust."""

import re
import string
from typing import NamedTuple

from fpo_jax.experiments.core.json_files import NotJson, parsed

_MEANING = {"a": "first", "b": "second", "c": "tie", "tie": "tie"}
_WORD = "((?ai:a|b|c|tie))"
_ALONE = re.compile(rf"[\W_]*{_WORD}[\W_]*")
_MARKED = re.compile(rf"\[\[{_WORD}\]\]")
_LISTED = re.compile(r"(?:[\W_]|(?ai:and|or))*")
_AFTER = f"{string.whitespace}.*"
_END = 200
"""Characters at the end of a reply in which a verdict stands."""


class NotReply(ValueError):
    """An answer is no chat completion; says why in a few words."""


class Reply(NamedTuple):
    """What a judge said, and whether the server cut it short."""

    text: str
    cut: bool = False


def read_reply(content: bytes) -> Reply:
    """Return what stands in a chat completion.

    Raises:
        NotReply: says why there is nothing.
    """
    try:
        choice = parsed(content)["choices"][0]
        text = choice["message"]["content"]
        cut = choice.get("finish_reason") == "length"
    except NotJson as error:
        raise NotReply(f"the answer is no chat completion: {error}") from None
    except (AttributeError, IndexError, KeyError, TypeError):
        raise NotReply("the answer is no chat completion") from None
    if text is not None and not isinstance(text, str):
        raise NotReply("the answer is no chat completion: its content is no text")
    return Reply(text or "", cut)


def understand(reply: Reply) -> str | None:
    """Return which answer a reply prefers, "first", "second" or "tie"; None where it does not say.

    A reply is one letter, A, B or C, or "tie", with any marks around it; or it ends with such a letter in
    double square brackets, [[A]], after which only blanks, full stops and asterisks may stand. A list of
    such letters names none, and what was cut short has no end. Thinking, up to the last </think>, is no part
    of a reply, and thinking that is not finished has none behind it.
    """
    answer = re.split("</think>", reply.text, flags=re.I | re.A)[-1]
    if re.search("<think>", answer, flags=re.I | re.A):
        return None
    if alone := _ALONE.fullmatch(answer):
        return _MEANING[alone[1].lower()]
    end = answer.rstrip(_AFTER)[-_END:]
    marked = [*_MARKED.finditer(end)]
    if reply.cut or not marked or marked[-1].end() != len(end):
        return None
    meant = _MEANING[marked[-1][1].lower()]
    for one, other in zip(marked[-2::-1], marked[::-1], strict=False):
        if not _LISTED.fullmatch(end, one.end(), other.start()):
            break
        if _MEANING[one[1].lower()] != meant:
            return None
    return meant
