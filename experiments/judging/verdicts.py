"""What was said of each pair, kept line by line as it is said, so that nothing is asked twice."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fpo_jax.errors import InputError
from fpo_jax.experiments.judging.counts import Counts, assess

FILE = "verdicts.jsonl"
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
        InputError: when the file is there and cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
    except OSError as error:
        raise InputError("out", path, f"a file that can be read ({error.strerror})") from error
    kept: dict[int, Verdict] = {}
    for line in lines:
        try:
            fields = json.loads(line)
            pair, outcome = fields.pop("pair"), fields.pop("outcome")
        except (ValueError, KeyError, AttributeError, TypeError):
            continue
        if isinstance(pair, int) and 0 <= pair < pairs and outcome in OUTCOMES:
            kept[pair] = Verdict(pair, outcome, fields.pop("reason", ""), fields)
    return kept


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
