"""What was said of each pair, kept line by line as it is said, so that nothing is asked twice."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.json_files import NotJson, parsed, raw_lines
from fpo_jax.experiments.judging.counts import Counts, assess

FILE = "verdicts.jsonl"
LONGEST_REPLY = 2000
"""Characters of a reply that are kept."""
MOST_BYTES = 2**16
"""Bytes of a line, more than two replies take, whatever their characters."""
OUTCOMES = {"win": "wins", "loss": "losses", "tie": "ties", "error": "errors"}
"""What can become of a pair, seen from A, and what such pairs are count_verdicts as."""


IDENTICAL, DISAGREED = "identical answers", "the two orders disagree"
"""Reasons of ties that no reply and no score says."""


class Verdict(NamedTuple):
    """What became of one pair.

    Attributes:
        pair: its number, from 0.
        outcome: one of `OUTCOMES`, seen from A.
        reason: why it is an error, or a tie that nobody judged.
        detail: `scores`; or, an entry for each time it was asked, `first`: which answer stood first, `meant`:
            which was preferred, "first", "second" or "tie", and `replies`: what was replied.
    """

    pair: int
    outcome: str
    reason: str = ""
    detail: Mapping[str, Any] = {}

    def line(self) -> str:
        """Return the verdict as one line of JSON."""
        reason = {"reason": self.reason} if self.reason else {}
        return json.dumps({"pair": self.pair, "outcome": self.outcome, **reason, **self.detail}) + "\n"


def read_verdicts(path: Path, pairs: int) -> dict[int, Verdict]:
    """Return the last verdict on each pair; lines that are none, such as one cut short, are passed over.

    Raises:
        InputError: when something is there that cannot be read, or that is no plain file.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InputError("out", path, "a plain file")
    kept: dict[int, Verdict] = {}
    try:
        for _, line in raw_lines(path, MOST_BYTES) if path.exists() else ():
            if (verdict := _verdict(line, pairs)) is not None:
                kept[verdict.pair] = verdict
    except OSError as error:
        raise InputError("out", path, f"a file that can be read ({error.strerror})") from error
    return kept


def _verdict(line: bytes, pairs: int) -> Verdict | None:
    """Return the verdict of a line; None where it is not one that is written here."""
    try:
        fields = parsed(line) if len(line) <= MOST_BYTES else None
    except NotJson:
        return None
    if not isinstance(fields, dict):
        return None
    pair, outcome, reason = fields.get("pair"), fields.get("outcome"), fields.get("reason", "")
    detail = {name: fields[name] for name in _DETAIL if name in fields}
    if not (type(pair) is int and 0 <= pair < pairs and isinstance(outcome, str) and outcome in OUTCOMES):
        return None
    if not (_is_text(reason) and all(_is_list(value, _DETAIL[name]) for name, value in detail.items())):
        return None
    return Verdict(pair, outcome, reason, detail)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_REPLY


def _is_score(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


_DETAIL: Mapping[str, Callable[[Any], bool]] = {
    "scores": _is_score,
    "first": lambda value: value in ("a", "b"),
    "meant": lambda value: value in ("first", "second", "tie"),
    "replies": _is_text,
}
"""What may stand in a verdict besides, a list of at most two, and what is in it."""


def _is_list(value: Any, of: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) <= 2 and all(map(of, value))


def count_verdicts(verdicts: Iterable[Verdict]) -> Counts:
    """Count verdicts by outcome."""
    outcomes = [verdict.outcome for verdict in verdicts]
    return Counts(**{name: outcomes.count(outcome) for outcome, name in OUTCOMES.items()})


def position(verdicts: Iterable[Verdict], both_orders: bool) -> dict[str, Any] | None:
    """Return how often the answer that stood first was preferred, of all replies that decided, if any.

    A judge that does not mind the order prefers it in half of them: the two-sided exact p-value says how far
    chance explains what was seen. There is none for both orders, since two replies on one pair hang together.
    """
    told = [verdict.detail["meant"] for verdict in verdicts if "meant" in verdict.detail]
    meant = [preferred for one in told for preferred in one]
    first, second = (meant.count(name) for name in ("first", "second"))
    p = None if both_orders else assess("", Counts(first, second))["p_two_sided"]
    return {"first_preferred": first, "replies_decided": first + second, "p_two_sided": p} if told else None
