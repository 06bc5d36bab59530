"""What a comparison of routes becomes: a table, numbers, figures, a folder."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.experiments.core.wording import folded, table
from fpo_jax.experiments.ladder.decompose import Decomposed, Effective
from fpo_jax.experiments.runs import figures
from fpo_jax.statistics import mean_interval

REFERENCE = "exact"
DRAWN = {
    "cosine": "cosine with the exact correction",
    "norm_ratio": "norm over the exact correction's",
}
COINCIDES = 1e-6
"""Relative error below which a route is drawn as one with the exact one."""


def rows(decomposed: Decomposed) -> list[dict[str, Any]]:
    """Return the table: for each route the mean over seeds and iterations of every measure, and its cost."""
    table = []
    for label, route in decomposed.routes.items():
        row: dict[str, Any] = {"route": label, "weight": route.weight, "best_weight": route.best_weight}
        for name, values in route.measures.items():
            by_seed = [seed[np.isfinite(seed)].mean() for seed in values if np.isfinite(seed).any()]
            estimate = mean_interval(np.array(by_seed))
            row[name] = estimate.mean if np.isfinite(estimate.mean) else None
            row[f"{name}_ci95"] = [x if np.isfinite(x) else None for x in (estimate.low, estimate.high)]
        row["products"] = float(np.mean(route.cost.products))
        row["solver_iterations"] = float(np.mean(route.cost.iterations))
        for name in ("residual", "slope"):
            values = getattr(route.cost, name)
            largest = float(np.max(np.asarray(values)))
            row[f"largest_{name}"] = largest if np.isfinite(largest) else None
        row["warning"] = route.warning()
        row["seconds"] = route.seconds
        table.append(row)
    return table


def draw(decomposed: Decomposed) -> Mapping[str, Figure]:
    """Return the figures: agreement over iterations, accuracy against cost, norms of the two parts."""
    routes = {label: route for label, route in decomposed.routes.items() if label != REFERENCE}
    errors = {label: route.error for label, route in routes.items()}
    shown = {label: route for label, route in routes.items() if not errors[label] < COINCIDES}
    styles = plotting.ladder_styles(list(routes))
    over, axes = plotting.panels(1, 2)
    for ax, (name, title) in zip(axes[0], DRAWN.items(), strict=True):
        for label, route in shown.items():
            plotting.line(ax, decomposed.iterations, route.measures[name], label, styles[label])
        ax.set_title(title, fontsize=plotting.TITLE_SIZE)
        ax.set_xlabel("iteration")
        hidden = len(routes) - len(shown)
        plural = "" if hidden == 1 else "s"
        plotting.ideal(ax, 1.0, f"exact, and {hidden} route{plural} within {COINCIDES:g} of it")
    plotting.logarithmic(axes[0, 1])
    figures.legend_below(over, axes[0, 0], 4)
    against, (cost_axes,) = plotting.panels(1, 1)
    against.set_size_inches(6.0, 3.6)
    plotting.accuracy_against_cost(
        cost_axes[0],
        {label: (1e6 * route.seconds, errors[label]) for label, route in routes.items()},
        styles,
    )
    norms, (norm_axes,) = plotting.panels(1, 1)
    for (name, values), style in zip(decomposed.norms.items(), (plotting.RLHF, plotting.EXACT), strict=True):
        plotting.line(norm_axes[0], decomposed.iterations, values, f"{name} part", style)
    norm_axes[0].set_yscale("log")
    norm_axes[0].set_xlabel("iteration")
    norm_axes[0].set_title("norms of the two parts of dF/dθ", fontsize=plotting.TITLE_SIZE)
    norm_axes[0].legend(fontsize=8, frameon=False)
    names = decomposed.settings.names
    n = decomposed.settings.seeds
    for figure in (over, against, norms):
        figure.suptitle(f"{names.environment}, driven by {names.objective}; median of {n} seeds", fontsize=9)
    drawn = {"agreement": over, "accuracy_against_cost": against, "norms": norms}
    if decomposed.effective is not None:
        drawn["effective_reward"] = _effective_figure(decomposed, decomposed.effective)
    return drawn


def _effective_figure(decomposed: Decomposed, effective: Effective) -> Figure:
    figure, axes = plotting.panels(1, len(effective.rungs), sharey=True)
    figure.set_size_inches(2.3 * len(effective.rungs) + 0.6, 2.9)
    for ax, (label, values) in zip(axes[0], effective.rungs.items(), strict=True):
        weight = decomposed.routes[label].best_weight
        plotting.scatter_exact(ax, effective.exact, values, effective.blind_spot, f"{label} {weight:.3g}")
    axes[0, 0].set_ylabel("approximate effective reward")
    figure.supxlabel("exact effective reward r̃(y)", fontsize=9)
    names, seed = decomposed.settings.names, decomposed.settings.seed
    figure.suptitle(
        f"{names.environment}, driven by {names.objective}, seed {seed}, iteration "
        f"{decomposed.iterations[-1]}: each dot a response; orange: in the blind spot",
        fontsize=9,
    )
    return figure


def show(decomposed: Decomposed) -> str:
    """Return the table as text."""

    def cell(value: Any, form: str) -> str:
        return "–" if value is None else format(value, form)

    head = ("route", "cosine", "norm ratio", "signs", "error", "products", "µs", "weight", "best")
    cells = [
        [
            row["route"],
            cell(row["cosine"], ".3f"),
            cell(row["norm_ratio"], ".3g"),
            cell(row["sign_agreement"], ".3f"),
            cell(row["relative_error"], ".1e"),
            f"{row['products']:.1f}",
            f"{1e6 * row['seconds']:.0f}",
            cell(row["weight"], ".3g"),
            cell(row["best_weight"], ".3g"),
        ]
        for row in rows(decomposed)
    ]
    scale = "none" if decomposed.scale is None else f"{decomposed.scale:.3g}"
    legend = f"weight of the follower's own step, 2·lr·α·k: {scale}; best: least squares along the runs"
    return f"{table(head, cells)}\n{folded(legend, 0)}"
