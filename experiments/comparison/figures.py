"""Figures of a comparison: methods by places, and safety range against what was gained."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.experiments.comparison.methods import Method, Place
from fpo_jax.experiments.comparison.trial import Trials
from fpo_jax.plotting import Axis, Chart, HeatMap, Points

NO_VALUE = 0.4
"""Where a method is drawn that is safe at no value, left of 1, a single one."""
SAFE = Axis(
    "safe over a factor",
    log=True,
    limits=(0.15, 3e6),
    ticks={NO_VALUE: "none", 1e1: "10", 1e3: "10³", 1e6: "all"},
)


def by_place(places: Sequence[Place], methods: Sequence[Method], trials: Trials) -> Figure:
    """Draw the share gained, and the share of seeds that collapse, methods by places; grey: not defined."""
    x = Axis(ticks={float(i): place.label.replace(", ", ",\n") for i, place in enumerate(places)})
    y = Axis(
        ticks={float(i): method.label for i, method in enumerate(methods)},
        limits=(len(methods) - 0.5, -0.5),
    )
    charts = []
    for title, read, colours in (
        ("share gained of what was to be gained, mean", lambda runs: runs.gained, "Blues"),
        ("share of seeds that collapse", lambda runs: runs.collapsed, "magma_r"),
    ):
        values = np.array(
            [
                [
                    np.mean(read(t.judged)) if (t := trials[p.label][m.label]).defined else np.nan
                    for p in places
                ]
                for m in methods
            ]
        )
        marks = [
            HeatMap(
                np.arange(len(places)), np.arange(len(methods)), values, (0.0, 1.0), colours, written=True
            )
        ]
        charts.append(Chart(title, marks, x, y))
    size = 2.2 + 2 * (0.7 * len(places) + 0.5), 1.2 + 0.27 * len(methods)
    return plotting.figure([charts], "each method at the value that other seeds chose", size=size, share="y")


def safety(places: Sequence[Place], methods: Sequence[Method], trials: Trials, columns: int = 3) -> Figure:
    """Draw what each method gained against the factor over which its number is safe, one chart a place.

    A rule of the leader's step has no number but the step's length, and is left out.
    """
    tuned = [method for method in methods if method.tuned and method.tuned != "policy_lr"]
    styles = plotting.ladder_styles([method.label for method in tuned])
    charts = []
    for place in places:
        marks = []
        for method in tuned:
            trial = trials[place.label][method.label]
            if trial.defined:
                factor = max(trial.safe_factor(), NO_VALUE)
                point = np.array([factor]), np.array([trial.judged.gained.mean()])
                marks.append(Points(*point, styles[method.label], method.label))
        charts.append(Chart(place.label, marks, SAFE, Axis("share gained")))
    while len(charts) % columns:
        charts.append(Chart("", []))
    grid = [charts[i : i + columns] for i in range(0, len(charts), columns)]
    heading = "share gained against the factor over which no seed collapses; 1: at a single value; all: 10⁶"
    return plotting.figure(grid, heading, share="xy")
