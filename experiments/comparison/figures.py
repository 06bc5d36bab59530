"""Figures of a comparison: methods by places, and the share gained against the range of safe values."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.experiments.comparison.methods import Method, Place
from fpo_jax.experiments.comparison.trial import Trials
from fpo_jax.plotting import Axis, Chart, HeatMap, Points

NO_VALUE = 0.4
"""A method that is safe at no value is drawn here, left of 1, which is a single safe value."""
SAFE = Axis(
    "safe over a factor",
    log=True,
    limits=(0.15, 3e6),
    ticks={NO_VALUE: "none", 1e1: "10", 1e3: "10³", 1e6: "all"},
)


def by_place(places: Sequence[Place], methods: Sequence[Method], trials: Trials) -> Figure:
    """Draw heat maps of the share gained and of the share of seeds that collapse, methods by places.

    A cell is grey where the method is not defined.
    """
    x = Axis(ticks={float(i): place.label.replace(", ", ",\n") for i, place in enumerate(places)})
    y = Axis(
        ticks={float(i): method.label for i, method in enumerate(methods)},
        limits=(len(methods) - 0.5, -0.5),
    )
    charts = []
    for title, read, colours in (
        ("share of the possible gain, mean", lambda runs: runs.gained, "Blues"),
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
    chart = max(0.7 * len(places), 2.1) + 0.5  # no narrower than its title
    size = 2.2 + 2 * chart, 1.2 + 0.27 * len(methods)
    return plotting.figure([charts], "each method at the value that other seeds chose", size=size, share="y")


def safety(places: Sequence[Place], methods: Sequence[Method], trials: Trials, columns: int = 3) -> Figure:
    """Draw the share that each method gained against the factor over which its number is safe.

    There is a chart for each place. The rules of the leader's step are not drawn, because their only number
    is the length of the step.
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
