"""Wins, losses and ties, with exact binomial tests and an exact interval.

Each pair is one observation. Ties and errors are reported, and excluded from the tests (the sign test).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.wording import folded, table

LEVEL = 0.95
HEAD = [
    "A : B",
    "wins",
    "losses",
    "ties",
    "errors",
    "rate",
    "95 % interval",
    "ties half",
    "p one-sided",
    "p two-sided",
]
LEGEND = "rate: wins / (wins + losses), Clopper–Pearson; p: exact binomial, one-sided: A is better"


class Counts(NamedTuple):
    """How often A was preferred, B was preferred, or neither, and how many pairs could not be judged."""

    wins: int
    losses: int
    ties: int = 0
    errors: int = 0

    @property
    def decided(self) -> int:
        """Return the number of pairs in which one of the two was preferred."""
        return self.wins + self.losses


def parse_counts(written: str) -> Counts:
    """Read WINS:LOSSES or WINS:LOSSES:TIES.

    Raises:
        InputError: when it is neither.
    """
    if not re.fullmatch(r"[0-9]{1,15}(:[0-9]{1,15}){1,2}", written):
        raise InputError("counts", written, "WINS:LOSSES or WINS:LOSSES:TIES, such as 188:144")
    return Counts(*map(int, written.split(":")))


def assess(label: str, counts: Counts) -> dict[str, Any]:
    """Return the statistics of A against B; None where nothing was decided.

    Of n = w + l decided pairs, with X ~ Binomial(n, ½):

        win rate              w / n, with its Clopper–Pearson interval
        ties as half          (w + t/2) / (n + t)
        p, one-sided          P(X ≥ w): A is better
        p, two-sided          min(1, 2 min(P(X ≥ w), P(X ≤ w))): one of them is better
    """
    from scipy.stats import binomtest  # slow to import

    row: dict[str, Any] = {"label": label, **counts._asdict()}
    judged = counts.decided + counts.ties
    row["win_rate"], row["win_rate_ci95"] = None, [None, None]
    row["win_rate_ties_half"] = (counts.wins + counts.ties / 2) / judged if judged else None
    row["p_one_sided"] = row["p_two_sided"] = None
    if counts.decided:
        test = binomtest(counts.wins, counts.decided, alternative="two-sided")
        interval = test.proportion_ci(LEVEL, method="exact")
        row["win_rate"] = counts.wins / counts.decided
        row["win_rate_ci95"] = [float(interval.low), float(interval.high)]
        row["p_one_sided"] = float(binomtest(counts.wins, counts.decided, alternative="greater").pvalue)
        row["p_two_sided"] = float(test.pvalue)
    return row


def cell(value: float | None, form: str = ".3f") -> str:
    """Return a number as text."""
    return "–" if value is None else format(value, form)


def probability(value: float | None) -> str:
    """Return a p-value as text."""
    return cell(value, ".4f" if value is None or value >= 1e-4 else ".1e")


def cells(row: Mapping[str, Any]) -> list[str]:
    """Return a row of the table as text, for the columns of `HEAD`."""
    low, high = row["win_rate_ci95"]
    return [
        row["label"],
        *(str(row[name]) for name in ("wins", "losses", "ties", "errors")),
        cell(row["win_rate"]),
        "–" if low is None else f"[{low:.3f}, {high:.3f}]",
        cell(row["win_rate_ties_half"]),
        probability(row["p_one_sided"]),
        probability(row["p_two_sided"]),
    ]


def show(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table as text."""

    return f"{table(HEAD, [cells(row) for row in rows])}\n{folded(LEGEND, 0)}"


def remarks(report: Mapping[str, Any]) -> list[str]:
    """Return notes for the table, in sentences."""
    lines = []
    if report.get("identical"):
        lines.append(f"{report['identical']} of the ties are identical answers, which nobody was asked about")
    if report.get("disagreed"):
        lines.append(f"{report['disagreed']} of the ties are pairs on which the two orders disagree")
    if report.get("position"):
        first, decided, p = report["position"].values()
        chance = "" if p is None else f" (p = {probability(p)}, two-sided)"
        lines.append(f"the answer that stood first was preferred in {first} of {decided} decisions{chance}")
    for row in report["comparisons"]:
        if "identical" in row:
            pairs = row["wins"] + row["losses"] + row["ties"] + row["errors"]
            lines.append(f"{row['label']}: {row['identical']} of {pairs} pairs of answers are identical")
        if row["errors"] and "verdicts_sha256" not in report:  # nobody is there to be asked
            lines.append(f"{row['errors']} pairs could not be judged: ask again with --resume")
    return lines
