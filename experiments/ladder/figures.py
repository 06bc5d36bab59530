"""Charts and figures of a comparison of routes to the true gradient."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.experiments.ladder.result import Decomposed, Effective, Route
from fpo_jax.plotting import Axis, Chart, Level, Line, Points, Style

REFERENCE = "exact"
DRAWN = {
    "cosine": "cosine with the exact correction",
    "norm_ratio": "norm over the exact correction's",
}
COINCIDES = 1e-6
"""A route with a smaller relative error than this shares the line of the exact one."""
SMALLEST = 1e-17
"""An error of exactly 0 has no logarithm, and is drawn at this value."""


def draw(decomposed: Decomposed) -> Mapping[str, Figure]:
    """Return the figures by file name.

    They are agreement over iterations, accuracy against cost, norms of the two parts, and effective rewards
    if there are any.
    """
    names = decomposed.settings.names
    heading = f"{names.environment}, driven by {names.objective}; median of {decomposed.settings.seeds} seeds"
    lines = [chart.without_bands() for chart in agreement(decomposed)]
    cost = accuracy_against_cost(decomposed)
    drawn = {
        "agreement": plotting.figure([lines], heading),
        "accuracy_against_cost": plotting.figure([[cost]], heading, size=(6.0, 3.6), legend="beside"),
        "norms": plotting.figure([[norms(decomposed).without_bands()]], heading),
    }
    if decomposed.effective is not None:
        drawn["effective_reward"] = _effective_figure(decomposed, decomposed.effective)
    return drawn


def approximate(decomposed: Decomposed) -> dict[str, Route]:
    """Return all routes except the exact one, by label."""
    return {label: route for label, route in decomposed.routes.items() if label != REFERENCE}


def route_styles(decomposed: Decomposed) -> dict[str, Style]:
    """Return a style for each route except the exact one, by label."""
    return plotting.ladder_styles(list(approximate(decomposed)))


def agreement(decomposed: Decomposed) -> list[Chart]:
    """Return charts of each route's correction against the exact one over iterations: direction and size."""
    routes, styles = approximate(decomposed), route_styles(decomposed)
    shown = {label: route for label, route in routes.items() if not route.error < COINCIDES}
    hidden = len(routes) - len(shown)
    exact = Level(1.0, f"exact, and {hidden} route{'s' * (hidden != 1)} within {COINCIDES:g} of it")
    charts = []
    for name, title in DRAWN.items():
        lines = [
            _over_seeds(decomposed, route.measures[name], label, styles[label])
            for label, route in shown.items()
        ]
        charts.append(Chart(title, [*lines, exact], Axis("iteration"), Axis(log=name == "norm_ratio")))
    return charts


def accuracy_against_cost(decomposed: Decomposed) -> Chart:
    """Return a chart with a point for each route: microseconds of one estimate, median relative error."""
    styles = route_styles(decomposed)
    dots = [
        Points(np.array([1e6 * route.seconds]), np.array([max(route.error, SMALLEST)]), styles[label], label)
        for label, route in approximate(decomposed).items()
        if np.isfinite(route.error)
    ]
    error = Axis("relative error of the correction", log=True)
    return Chart("error against cost", dots, Axis("one estimate (µs)", log=True), error)


def norms(decomposed: Decomposed) -> Chart:
    """Return a chart of the norms of the standard and the steering part over iterations."""
    styles = (plotting.RLHF, plotting.EXACT)
    lines = [
        _over_seeds(decomposed, values, f"{name} part", style)
        for (name, values), style in zip(decomposed.norms.items(), styles, strict=True)
    ]
    return Chart("norms of the two parts of dF/dθ", lines, Axis("iteration"), Axis(log=True))


def _over_seeds(decomposed: Decomposed, values: np.ndarray, label: str, style: Style) -> Line:
    return plotting.over_seeds(values, label, style, decomposed.iterations, np.median)


def _effective_figure(decomposed: Decomposed, effective: Effective) -> Figure:
    """Draw approximate effective rewards against the exact ones, response by response, with the diagonal."""
    ends = np.array([effective.exact.min(), effective.exact.max()])
    diagonal = Line(ends, ends, plotting.IDEAL, width=0.8)
    spot = effective.blind_spot > 0.5
    charts = []
    for label, values in effective.rungs.items():
        dots = [
            Points(effective.exact[chosen], values[chosen], Style(color), name, size=3.5)
            for chosen, color, name in (
                (~spot, plotting.ORDINARY, "responses"),
                (spot, plotting.MARKED, "responses in the blind spot"),
            )
            if chosen.any()
        ]
        title = f"{label} {decomposed.routes[label].best_weight:.3g}"
        axes = Axis("exact effective reward r̃(y)"), Axis("approximate effective reward")
        charts.append(Chart(title, [diagonal, *dots], *axes))
    names, seed = decomposed.settings.names, decomposed.settings.seed
    heading = (
        f"{names.environment}, driven by {names.objective}, seed {seed}, "
        f"iteration {decomposed.iterations[-1]}: each dot a response"
    )
    size = (2.3 * len(charts) + 0.6, 3.1)
    return plotting.figure([charts], heading, size=size, share="y")
