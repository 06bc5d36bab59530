"""What a comparison of answers becomes: a table, a figure, a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments import figures
from experiments.judging.counts import remarks, show
from experiments.judging.verdicts import FILE, Verdict
from experiments.results import replacing, write_json
from fpo_jax import plotting

COLOURS = (plotting.EXACT.color, "#9A9A9A", plotting.RLHF.color)
"""Of wins, ties and losses."""


def draw(rows: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """Draw each comparison: wins, ties and losses as a bar, and beside it the win rate, its interval."""
    figure, axes = plotting.panels(1, 2, sharey=True)
    figure.set_size_inches(7.2, 1.5 + 0.42 * len(rows))
    figure.set_layout_engine("constrained", w_pad=0.12)  # numbers of the two axes stay apart
    parts = {name: [row[name] for row in rows] for name in ("wins", "ties", "losses")}
    plotting.divided_bars(axes[0, 0], parts, [row["label"] for row in rows], COLOURS)
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
    from experiments.report import page
    from experiments.report.parts import Section

    rows = report["comparisons"]
    with replacing(out) as folder:
        write_json(folder / "config.json", config)
        if verdicts:
            (folder / FILE).write_text("".join(verdict.line() for verdict in verdicts), encoding="utf-8")
        write_json(folder / "summary.json", report)
        pictures = figures.save_all(draw(rows), folder)
        claim = "Wins, losses and ties of A against B; exact binomial tests and Clopper–Pearson intervals."
        table = "\n".join(f"    {line}" for line in show(rows).splitlines())
        section = Section("judge", claim, [table], pictures, warnings=remarks(report))
        page.write(folder / page.FILE, _title(report), "", [section], report, "judge")


def _title(report: Mapping[str, Any]) -> str:
    rows = report["comparisons"]
    return "Win rates" if len(rows) > 1 else f"Which is better: {rows[0]['label']}"
