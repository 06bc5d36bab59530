"""Sections of single results: a run, a sweep, a comparison of routes; in words that need no legend."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from fpo_jax.experiments.core.wording import NONE, counted, told_apart
from fpo_jax.experiments.ladder.decompose import Decomposed
from fpo_jax.experiments.report import views
from fpo_jax.experiments.report.parts import Section, markdown_table
from fpo_jax.experiments.runs.execution import Result
from fpo_jax.experiments.sweeps.dataset import SHOWN, diverged, readable, warnings
from fpo_jax.experiments.sweeps.grid import Grid
from fpo_jax.statistics import FALL, LOW

NAMES = {
    "myopic": "iterative RLHF",
    "exact": "exact foresight",
    "relaxed": "relaxed FPO",
    "practical": "practical FPO",
    "proximal": "proximal FPO",
}


def share(value: float) -> str:
    """Return a share in per cent."""
    return f"{100 * value:.0f}\N{NO-BREAK SPACE}%"


COLLAPSE = (
    f"with less than {share(LOW)} of what was to be gained, or less than {share(FALL)} of their largest gain"
)


def of_run(result: Result, report: Mapping[str, Any], pictures: Sequence[Path]) -> tuple[str, Section]:
    """Return what happened in a run, in a few words, and its section; `report` is its summary."""
    settings = result.settings
    objective = settings.names.objective
    method = NAMES.get(objective, objective)
    utility = result.metrics["true_utility"]
    fell, n = int(result.collapsed.sum()), len(result.seeds)
    verdict = "the policy collapsed" if fell == n else "no collapse" if fell == 0 else "some seeds collapsed"
    if result.diverged:
        verdict += f", and {len(result.diverged)} of {settings.seeds} seeds diverged"
    end, spot = report["true_utility_final"], report["blind_spot_mass_final"]
    proxy, best = report["proxy_reward_final"], report["optimum"]
    over = "more" if proxy > end else "less"
    story = (
        f"Over {counted(settings.steps, 'iteration')} true utility went from {utility[:, 0].mean():.3g} to "
        f"**{end:.3g}**"
        + ("" if best is None else f", where {best:.3g} is the best possible")
        + f". The reward model believes {proxy:.3g}, {over} than that. {share(spot)} of the policy lies in "
        f"its blind spot. {fell} of {n} seeds collapsed, which means that they ended {COLLAPSE}."
    )

    def interval(name: str, form: Callable[[float], str] = "{:.3g}".format) -> str:
        low, high = report[f"{name}_ci95"]
        return "" if low is None or n == 1 else f"95 % interval {form(low)} to {form(high)}"

    tiles = [
        ("true utility, final", f"{end:.3g}", interval("true_utility_final")),
        ("proxy reward, final", f"{proxy:.3g}", interval("proxy_reward_final")),
        ("in the blind spot", share(spot), interval("blind_spot_mass_final", share)),
        ("seeds collapsed", f"{fell} of {n}", interval("collapse_rate", share)),
    ]
    section = Section(
        settings.names.environment,
        story,
        [_summary_table(report)],
        pictures,
        views.of_results({objective: result}),
        tiles,
        result.warnings(),
        [settings],
    )
    return f"{settings.names.environment.capitalize()}, {method}: {verdict}", section


def _summary_table(report: Mapping[str, Any]) -> str:
    rows = []
    for name, value in report.items():
        if f"{name}_ci95" in report:
            low, high = report[f"{name}_ci95"]
            count = report.get(f"{name}_n", report["seeds_reported"])
            interval = "–" if low is None else f"{low:.4g} to {high:.4g}"
            shown = "undefined" if value is None else f"{value:.4g}"
            rows.append([name.replace("_", " "), shown, interval, str(count)])
    return markdown_table(["quantity", "mean over seeds", "95 % interval", "n"], rows)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def of_sweep(
    grid: Grid, result: xr.Dataset, table: pd.DataFrame, pictures: Sequence[Path]
) -> tuple[str, Section]:
    """Return what a sweep covers, in a few words, and its section; `table` is that of its cells."""
    varied = [f"{name} ({len(values)})" for name, values in grid.axes.items() if len(values) > 1]
    runs = len(grid.cells) * grid.seeds
    named = table.assign(**{name: told_apart(table[name].tolist()) for name in grid.axes})
    ranked = named.dropna(subset="true_utility_final").sort_values("true_utility_final")

    def cell(row: Any) -> str:
        values = [f"{name} {row[name]}" for name in grid.axes if row[name] != NONE]
        utility, rate = row["true_utility_final"], row["collapse_rate"]
        return f"{', '.join(values)}: true utility {utility:.3g}, {share(rate)} collapsed"

    extremes = "Every run diverged."
    if len(ranked):
        extremes = f"Best cell: {cell(ranked.iloc[-1])}. Worst: {cell(ranked.iloc[0])}."
    story = (
        f"{counted(len(grid.cells), 'cell')} × {counted(grid.seeds, 'seed')} over "
        f"{counted(grid.steps, 'iteration')}, varying "
        f"{', '.join(varied) or 'nothing but the seed'}. {extremes} A "
        f"seed counts as collapsed when it ends {COLLAPSE.replace('their', 'its')}."
    )
    shown = readable(table, list(grid.axes)).head(SHOWN)
    lines = markdown_table(list(shown.columns), [[_cell(value) for value in row] for row in shown.values])
    more = f"{counted(len(table) - SHOWN, 'more cell')} in table.csv." if len(table) > SHOWN else ""
    section = Section(
        f"{grid.environment}, sweep",
        story,
        [lines, more],
        pictures,
        views.of_sweep(result),
        [
            ("runs", str(runs), f"{counted(grid.seeds, 'seed')} a cell, the same in each"),
            ("cells", str(len(grid.cells)), "a method is run once for all values of what it does not have"),
            ("diverged", str(diverged(result)), "left out of every mean"),
        ],
        [f"{warning}." for warning in warnings(result)],
        grid.cells,
    )
    return f"{grid.environment.capitalize()}: {' × '.join(grid.axes)}", section


def of_decomposed(
    decomposed: Decomposed, rows: Sequence[Mapping[str, Any]], pictures: Sequence[Path]
) -> tuple[str, Section]:
    """Return what was compared, in a few words, and its section; `rows` is the table of routes."""
    settings = decomposed.settings
    names = settings.names
    story = (
        "Every way to the true gradient dF/dθ beside the exact one, along runs driven by "
        f"**{names.objective}**: what each adds to the myopic gradient, its correction, has a direction "
        "(cosine, 1 is exact), a size (norm ratio, 1 is exact) and a price in time."
    )

    def cell(value: Any, form: str) -> str:
        return "–" if value is None else format(value, form)

    columns = {
        "cosine": ("cosine", ".3f"),
        "norm ratio": ("norm_ratio", ".3g"),
        "signs that agree": ("sign_agreement", ".3f"),
        "relative error": ("relative_error", ".1e"),
        "Hessian products": ("products", ".1f"),
        "weight": ("weight", ".3g"),
        "best weight": ("best_weight", ".3g"),
    }
    lines = [
        [
            row["route"],
            *(cell(row[key], form) for key, form in columns.values()),
            f"{1e6 * row['seconds']:.0f}",
        ]
        for row in rows
    ]
    table = markdown_table(["route", *columns, "µs"], lines)
    scale = "none" if decomposed.scale is None else f"{decomposed.scale:.3g}"
    note = f"Weight of the follower's own step, 2·lr·α·k: {scale}. Best weight: least squares along the runs."
    warnings = [f"left out: {label}: {reason}" for label, reason in decomposed.skipped.items()]
    warnings += [
        f"{label}: {said}" for label, route in decomposed.routes.items() if (said := route.warning())
    ]
    view = views.of_decomposed(decomposed)
    section = Section(names.environment, story, [table, note], pictures, view, (), warnings, [settings])
    return f"{names.environment.capitalize()}: the gradient taken apart", section
