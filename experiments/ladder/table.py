"""The table of a comparison of routes, as numbers and as text."""

from typing import Any

import numpy as np

from fpo_jax.experiments.core.wording import folded, table
from fpo_jax.experiments.ladder.result import Decomposed
from fpo_jax.statistics import mean_interval


def rows(decomposed: Decomposed) -> list[dict[str, Any]]:
    """Return one row for each route: the mean of every measure over seeds and iterations, and its cost.

    95 % intervals are over seeds. Bias and spread are medians over all states. Undefined numbers are None.
    """
    table = []
    for label, route in decomposed.routes.items():
        row: dict[str, Any] = {"route": label, "weight": route.weight, "best_weight": route.best_weight}
        for name, values in route.measures.items():
            by_seed = [seed[np.isfinite(seed)].mean() for seed in values if np.isfinite(seed).any()]
            estimate = mean_interval(np.array(by_seed))
            row[name] = estimate.mean if np.isfinite(estimate.mean) else None
            row[f"{name}_ci95"] = [x if np.isfinite(x) else None for x in (estimate.low, estimate.high)]
        for name in ("bias", "spread"):
            values = route.drawn.get(name, np.array(np.nan))
            row[name] = float(np.nanmedian(values)) if np.isfinite(values).any() else None
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


def show(decomposed: Decomposed) -> str:
    """Return the table as text, with its legend below."""

    def cell(value: Any, form: str) -> str:
        return "–" if value is None else format(value, form)

    drawn = ("bias", "spread") * any(route.drawn for route in decomposed.routes.values())
    head = ("route", "cosine", "norm ratio", "signs", "error", "products", "µs", "weight", "best", *drawn)
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
            *[cell(row[name], ".2g") for name in drawn],
        ]
        for row in rows(decomposed)
    ]
    scale = "none" if decomposed.scale is None else f"{decomposed.scale:.3g}"
    legend = (
        f"weight that matches the follower's own steps, 2·lr·α·k: {scale}; best: the weight that fits the "
        "exact correction by least squares"
    )
    return f"{table(head, cells)}\n{folded(legend, 0)}"
