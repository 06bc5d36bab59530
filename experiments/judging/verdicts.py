"""The verdicts on pairs, saved line by line immediately, so that nothing is asked twice."""

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
"""Maximum saved characters of a reply."""
MOST_BYTES = 2**16
"""Maximum bytes of a line, more than two replies of any characters take."""
OUTCOMES = {"win": "wins", "loss": "losses", "tie": "ties", "error": "errors"}
"""The outcomes of a pair, as seen from A, and their fields in `Counts`."""


IDENTICAL, DISAGREED = "identical answers", "the two orders disagree"
"""Reasons of ties without a reply or a score."""


class Verdict(NamedTuple):
    """The verdict on one pair.

    Attributes:
        pair: its number, from 0.
        outcome: one of `OUTCOMES`, seen from A.
        reason: why it is an error, or a tie without judgement.
        detail: `scores`; or, with an entry for each request, `first`: which answer came first, `meant`: which
            was preferred, "first", "second" or "tie", and `replies`: the replies.
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
    """Return the last verdict on each pair; invalid lines, such as a truncated one, are skipped.

    Raises:
        InputError: when the file cannot be read, or is not a plain file.
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
    """Return the verdict of a line; None if we did not write such a line."""
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
"""Optional lists in a verdict, of at most two entries, and their allowed values."""


def _is_list(value: Any, of: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) <= 2 and all(map(of, value))


def count_verdicts(verdicts: Iterable[Verdict]) -> Counts:
    """Count verdicts by outcome."""
    outcomes = [verdict.outcome for verdict in verdicts]
    return Counts(**{name: outcomes.count(outcome) for outcome, name in OUTCOMES.items()})


def position(verdicts: Iterable[Verdict], both_orders: bool) -> dict[str, Any] | None:
    """Return how often the first answer was preferred among all decisive replies, if any.

    A judge without position bias prefers it half of the time; the two-sided exact p-value tests this. There
    is no p-value for both orders, since two replies on one pair are dependent.
    """
    told = [verdict.detail["meant"] for verdict in verdicts if "meant" in verdict.detail]
    meant = [preferred for one in told for preferred in one]
    first, second = (meant.count(name) for name in ("first", "second"))
    p = None if both_orders else assess("", Counts(first, second))["p_two_sided"]
    return {"first_preferred": first, "replies_decided": first + second, "p_two_sided": p} if told else None
