"""What a comparison of answers becomes: a table, a figure, a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.experiments.core.files import replacing, write_json
from fpo_jax.experiments.judging.counts import HEAD, LEGEND, cell, cells, probability, remarks
from fpo_jax.experiments.judging.verdicts import FILE, Verdict
from fpo_jax.experiments.report import page
from fpo_jax.experiments.report.parts import Section, markdown_table
from fpo_jax.experiments.runs import figures

COLOURS = (plotting.EXACT.color, "#9A9A9A", plotting.RLHF.color)
"""Of wins, ties and losses."""


def draw(rows: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """Draw each comparison: wins, ties and losses as a bar, and beside it the win rate, its interval."""
    figure, axes = plotting.panels(1, 2, sharey=True)
    figure.set_size_inches(7.2, 1.5 + 0.42 * len(rows))
    figure.set_layout_engine("constrained", w_pad=0.12)  # numbers of the two axes stay apart
    parts = {name: [row[name] for row in rows] for name in ("wins", "ties", "losses")}
    labels = [row["label"].replace("$", r"\$") for row in rows]  # names of files are no formulas
    plotting.divided_bars(axes[0, 0], parts, labels, COLOURS)
    axes[0, 0].set_xlabel("share of the judged pairs")
    rates = [row["win_rate"] if row["win_rate"] is not None else float("nan") for row in rows]
    ends = [(0.0, 1.0) if row["win_rate"] is None else row["win_rate_ci95"] for row in rows]
    plotting.share_intervals(axes[0, 1], rates, ends)
    axes[0, 1].set_xlabel("win rate among the decided, 95 % interval")
    for ax in axes[0]:
        ax.tick_params(axis="y", length=0)
    figures.legend_below(figure, axes[0, 0], 3)
    return {"outcome": figure}


def write(
    out: Path, config: Mapping[str, Any], report: Mapping[str, Any], verdicts: Sequence[Verdict] = ()
) -> None:
    """Write `config.json`, `summary.json`, `verdicts.jsonl`, the figure and `report.html`."""
    rows = report["comparisons"]
    with replacing(out) as folder:
        write_json(folder / "config.json", config)
        if verdicts:
            (folder / FILE).write_text("".join(verdict.line() for verdict in verdicts), encoding="utf-8")
        write_json(folder / "summary.json", report)
        pictures = figures.save_all(draw(rows), folder)
        page.write(folder / page.FILE, *_of_page(report, pictures), report, "judge")


def _of_page(report: Mapping[str, Any], pictures: Sequence[Path]) -> tuple[str, str, list[Section]]:
    """Return the title of the page, what stands above its sections, and its one section."""
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
    said = " against ".join(f"`{name}`" for name in report.get("answers", ()))
    claim = f"{said}, judged by `{report['judge']}`." if said else "Counts of comparisons made elsewhere."
    table = markdown_table(HEAD, [cells(row) for row in rows])
    notes = [f"{remark[0].upper()}{remark[1:]}." for remark in remarks(report)]
    legend = f"{LEGEND[0].upper()}{LEGEND[1:]}."
    return title, "", [Section("judge", claim, [table, legend, *notes], pictures, tiles=tiles)]
