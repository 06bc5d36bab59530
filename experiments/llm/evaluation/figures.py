"""Charts and figures of an evaluation."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.experiments.llm.evaluation.policies import BASE
from fpo_jax.experiments.llm.evaluation.repetition import NGRAM, apart
from fpo_jax.experiments.llm.evaluation.summary import Measured
from fpo_jax.experiments.llm.figures import OBJECTIVE_OF
from fpo_jax.plotting import Axis, Chart, Level, Points, Style

TITLES = {
    "mc1": "MC1",
    "mc2": "MC2",
    "identical": "share of identical greedy answers",
    "utility": "U of greedy answers",
    "drawn_utility": "U of drawn answers",
    "kl": "KL from the base (nats an answer)",
    "length": "length of greedy answers (tokens)",
    "repetition": f"repeated {NGRAM}-grams of greedy answers",
}
COLUMNS = 3


def styles_of(measured: Measured) -> dict[str, Style]:
    """Return the style of each model: that of its objective, or a neutral one for the base model."""
    objectives = {one.name: OBJECTIVE_OF.get(one.mode, one.mode) for one in measured.policies}
    return {BASE: plotting.NEUTRAL} | plotting.styles(objectives)


def charts(measured: Measured, found: Mapping[str, Any]) -> list[Chart]:
    """Return each measure of every model, with its interval; the base model also has a dashed line."""
    styles, names = styles_of(measured), measured.names
    ticks = {float(place): name for place, name in enumerate(names)}
    drawn = []
    for name, title in TITLES.items():
        rows = {row["model"]: row for row in found["means"] if row["measure"] == name}
        if not rows:
            continue
        marks: list[Any] = [Level(rows[BASE]["mean"], vertical=True)] if BASE in rows else []
        for model, row in rows.items():
            at = np.array([float(names.index(model))])
            ends = [np.array([row["mean"] if row[end] is None else row[end]]) for end in ("low", "high")]
            mean = np.array([row["mean"]])
            low, high = ends
            marks.append(Points(mean, at, styles[model].solid, "", low, high, sideways=True))
        drawn.append(Chart("", marks, Axis(title), Axis(limits=(len(names) - 0.5, -0.5), ticks=ticks)))
    return drawn


def scatter(measured: Measured) -> list[Chart]:
    """Return U against repetition, and against length, of the base model's candidates for the same prompt."""
    utility = apart(measured.candidates["utility"])
    titles = {"repetition": f"repeated {NGRAM}-grams", "length": "length (tokens)"}
    return [
        Chart(
            "",
            [
                Level(0.0),
                Points(apart(measured.candidates[name]), utility, Style(plotting.ORDINARY), size=2.5),
            ],
            Axis(f"{title}, less the prompt's mean"),
            Axis("U, less the prompt's mean"),
        )
        for name, title in titles.items()
    ]


def draw(measured: Measured, found: Mapping[str, Any]) -> dict[str, Figure]:
    """Draw all measures, and U against repetition."""
    unnamed = {float(place): "" for place in range(len(measured.names))}
    shown = charts(measured, found)
    for place, chart in enumerate(shown):
        if place % COLUMNS:  # models are named once a row
            shown[place] = replace(chart, y=replace(chart.y, ticks=unnamed))
    shown += [Chart("", [])] * (-len(shown) % COLUMNS)
    rows = [shown[i : i + COLUMNS] for i in range(0, len(shown), COLUMNS)]
    size = (9.6, len(rows) * (0.75 + 0.24 * len(measured.names)))
    return {
        "overview": plotting.figure(rows, size=size, share="", legend="none"),
        "repetition": plotting.figure([scatter(measured)], legend="none"),
    }
