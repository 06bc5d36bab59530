"""The page of a comparison of routes to the true gradient."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fpo_jax.experiments.ladder.figures import (
    COINCIDES,
    accuracy_against_cost,
    agreement,
    norms,
    route_styles,
)
from fpo_jax.experiments.ladder.result import Decomposed
from fpo_jax.experiments.report.parts import Section, View, markdown_table


def section_of(
    decomposed: Decomposed, rows: Sequence[Mapping[str, Any]], pictures: Sequence[Path]
) -> tuple[str, Section]:
    """Return the title of the page and its section.

    Args:
        decomposed: the comparison.
        rows: the table of routes (`fpo_jax.experiments.ladder.table.rows`).
        pictures: files of the figures.
    """
    settings = decomposed.settings
    names = settings.names
    story = (
        "This page compares every route to the true gradient dF/dθ with the exact one, along runs driven by "
        f"**{names.objective}**. A route adds a correction to the myopic gradient. The table gives the "
        "direction of the correction (cosine, 1 is exact), its size (norm ratio, 1 is exact) and its price "
        "in time."
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
    note = (
        f"The weight that matches the follower's own steps, 2·lr·α·k: {scale}. The best weight fits the "
        "exact correction by least squares along the runs."
    )
    warnings = [f"not compared: {label}: {reason}" for label, reason in decomposed.skipped.items()]
    warnings += [
        f"{label}: {warning}" for label, route in decomposed.routes.items() if (warning := route.warning())
    ]
    view = _view(decomposed)
    section = Section(names.environment, story, [table, note], pictures, view, (), warnings, [settings])
    return f"{names.environment.capitalize()}: the gradient taken apart", section


def _view(decomposed: Decomposed) -> View:
    caption = (
        f"Line: median of {decomposed.settings.seeds} seeds. Band: the middle 80 % of them. Routes within "
        f"{COINCIDES:g} of the exact one lie on the dashed line, and only the chart of costs shows them. In "
        "the chart of norms the standard part is red, and the steering part is blue."
    )
    playing = "Nothing is played here: the page compares gradients. The report of a run plays its policy."
    charts = [*agreement(decomposed), accuracy_against_cost(decomposed), norms(decomposed)]
    return View(route_styles(decomposed), charts, caption, None, playing)
