"""The page of comparisons of answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fpo_jax.experiments.judging.counts import HEAD, LEGEND, cell, cells, probability, remarks
from fpo_jax.experiments.judging.figures import outcomes, win_rates
from fpo_jax.experiments.report.parts import Section, View, code, markdown_table

SAID = (
    "Bars: pairs that A wins, blue, that are ties, grey, and that it loses, red. Dots: its win rate among "
    "the decided, with its 95 % interval; on the dashed line both sides are even."
)


def section_of(report: Mapping[str, Any], pictures: Sequence[Path]) -> tuple[str, Section]:
    """Return what was compared, in a few words, and its section."""
    rows = report["comparisons"]
    first = rows[0]
    title, tiles = f"{len(rows)} comparisons, tested", []
    if len(rows) == 1:
        decided = first["wins"] + first["losses"]
        title = f"{first['label']}: A wins {first['wins']} of {decided} decided pairs"
        low, high = (cell(end) for end in first["win_rate_ci95"])
        one_sided = probability(first["p_one_sided"])
        tiles = [
            ("win rate of A", cell(first["win_rate"]), f"95 % interval {low} to {high}"),
            ("p, two-sided", probability(first["p_two_sided"]), f"one-sided {one_sided}"),
            ("ties", str(first["ties"]), f"as half: {cell(first['win_rate_ties_half'])}"),
            ("errors", str(first["errors"]), "in no figure"),
        ]
    names = " against ".join(map(code, report.get("answers", ())))
    claim = (
        f"{names}, judged by {code(report['judge'])}." if names else "Counts of comparisons made elsewhere."
    )
    table = markdown_table(HEAD, [cells(row) for row in rows])
    notes = [f"{remark[0].upper()}{remark[1:]}." for remark in remarks(report)]
    legend = f"{LEGEND[0].upper()}{LEGEND[1:]}."
    view = View({}, [outcomes(rows), win_rates(rows)], SAID)
    return title, Section("judge", claim, [table, legend, *notes], pictures, view, tiles)
