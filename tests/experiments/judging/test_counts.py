"""Counts of wins, losses and ties: exact tests, intervals, and the published counts."""

import json
import math
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from fpo_jax.errors import InputError
from fpo_jax.experiments.judging.counts import Counts, assess, parse_counts
from tests.helpers import call

PUBLISHED = {"188:144": 0.014, "140:135": 0.41, "167:138": 0.076}
"""Counts of the paper's three comparisons by a judge, and the p-values that digests of it print."""


def upper_tail(wins, n):
    """P(X ≥ wins) for n fair coins, by whole numbers: coins that fall so, over all that fall."""
    return sum(comb(n, k) for k in range(wins, n + 1)) / 2**n


def tail(wins, n, share):
    """P(X ≥ wins) for n coins with this share of heads."""
    return sum(comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(wins, n + 1))


def test_published_counts(capsys):
    status, out, _ = call(capsys, "judge", "--counts", *PUBLISHED, "--json")
    assert status == 0
    rows = json.loads(out)["comparisons"]
    assert [row["label"] for row in rows] == [*PUBLISHED]
    # by whole numbers: P(X ≥ 188 of 332) = 0.00907, P(X ≥ 140 of 275) = 0.405, P(X ≥ 167 of 305) = 0.0544;
    # with fair coins either side is as likely, so that the two-sided value is twice that
    for row, printed in zip(rows, PUBLISHED.values(), strict=True):
        exact = upper_tail(row["wins"], row["wins"] + row["losses"])
        assert row["p_one_sided"] == pytest.approx(exact, rel=1e-10)
        assert row["p_two_sided"] == pytest.approx(2 * exact, rel=1e-10)
        # what is printed is neither: each lies between the two, also when rounded as it is printed
        digits = len(str(printed)) - 2
        assert round(exact, digits) < printed < round(2 * exact, digits)
    assert [round(row["p_one_sided"], 4) for row in rows] == [0.0091, 0.4047, 0.0544]
    assert [round(row["p_two_sided"], 4) for row in rows] == [0.0181, 0.8094, 0.1087]


def test_what_is_printed_is_no_usual_test_of_the_counts_either():
    counts = [parse_counts(written) for written in PUBLISHED]
    printed = [(p, len(str(p)) - 2) for p in PUBLISHED.values()]

    def normal(counts, ties, correction):
        ahead = counts.wins - counts.losses - correction
        return math.erfc(ahead / math.sqrt(2 * (counts.decided + ties))) / 2

    for one, (p, digits) in zip(counts, printed, strict=True):
        middle = upper_tail(one.wins, one.decided) - comb(one.decided, one.wins) / 2**one.decided / 2  # mid-p
        for sided in (1, 2):
            for other in (normal(one, 0, 0), normal(one, 0, 1), middle):
                assert round(sided * other, digits) != p
    # each tie as half a win: by the normal approximation, and exactly where ties can be halved
    for halves in range(300):
        exact = [binom.sf(c.wins + halves - 1, c.decided + 2 * halves, 0.5) for c in counts]
        near = [normal(c, 2 * halves, 0) for c in counts]
        for found in (exact, near):
            assert any(round(x, d) != p for x, (p, d) in zip(found, printed, strict=True))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 9))
def test_exact_tests_and_interval(wins, losses, ties):
    row, swapped = assess("", Counts(wins, losses, ties)), assess("", Counts(losses, wins, ties))
    n = wins + losses
    if n == 0:
        assert row["win_rate"] is row["p_two_sided"] is row["p_one_sided"] is None
        assert row["win_rate_ties_half"] == (0.5 if ties else None)
        return
    assert row["p_one_sided"] == pytest.approx(upper_tail(wins, n))
    assert row["p_two_sided"] == pytest.approx(min(1, 2 * upper_tail(max(wins, losses), n)))
    assert row["p_two_sided"] == pytest.approx(swapped["p_two_sided"])
    assert row["win_rate_ties_half"] == pytest.approx(1 - swapped["win_rate_ties_half"])
    # Clopper and Pearson: at either end the tail beyond what was seen has probability (1 − 0.95) / 2
    low, high = row["win_rate_ci95"]
    assert (low == 0.0) if wins == 0 else tail(wins, n, low) == pytest.approx(0.025, rel=1e-6)
    assert (high == 1.0) if losses == 0 else 1 - tail(wins + 1, n, high) == pytest.approx(0.025, rel=1e-6)


def test_counts_are_written_also_where_nothing_was_decided(capsys, tmp_path):
    status, out, _ = call(capsys, "judge", "--counts", "0:0:2", "3:1", "--out", tmp_path / "counts")
    assert status == 0
    head, first, second, _ = out.splitlines()
    assert head.split()[-4:] == ["p", "one-sided", "p", "two-sided"]
    assert first.split() == ["0:0:2", "0", "0", "2", "0", "–", "–", "0.500", "–", "–"]
    # P(X ≥ 3 of 4) = (4 + 1) / 16
    assert second.split()[-3:] == ["0.750", "0.3125", "0.6250"]
    rows = json.loads((tmp_path / "counts" / "summary.json").read_text(encoding="utf-8"))["comparisons"]
    assert rows[0]["p_two_sided"] is None
    assert "2 comparisons" in (tmp_path / "counts" / "report.html").read_text(encoding="utf-8")


def test_counts_are_read_with_their_ties():
    assert parse_counts("3:2:7") == (3, 2, 7, 0)
    for written in ("3", "3:-2", "3:2:1:0", "a:b", "3:2.0", ""):
        with pytest.raises(InputError, match="WINS:LOSSES"):
            parse_counts(written)
