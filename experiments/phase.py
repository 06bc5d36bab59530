"""Claim: over pairs of hyperparameters iterative RLHF collapses in a region, which FPO makes smaller."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from fpo_jax import plotting
from fpo_jax.experiments.sweeps import figures
from fpo_jax.experiments.sweeps.experiment import SweepExperiment

SIDE = 20
GRIDS: dict[str, dict[str, Any]] = {
    "bandit": {
        "environment": "bandit",
        "objective": ["myopic", "relaxed", "exact"],
        "grid": {"alpha": f"0.05:1:{SIDE}", "ridge": f"0.001:1:{SIDE}:log"},
    },
    "linear": {
        "environment": "linear",
        "objective": ["myopic", "relaxed", "practical"],
        "grid": {"weight": f"0.01:1:{SIDE}:log", "rm_lr": f"0.0005:0.05:{SIDE}:log"},
    },
    "gridworld": {
        "environment": "gridworld",
        "objective": ["myopic", "relaxed"],
        "grid": {"glitter": f"0.5:2.4:{SIDE}", "alpha": f"0.05:1:{SIDE}"},
        "steps": 200,
        "every": 10,
    },
}
LABELS = {
    "myopic": "RLHF",
    "relaxed": "relaxed FPO",
    "practical": "practical FPO",
    "alpha": "share of on-policy data α",
    "ridge": "ridge λ",
    "weight": "weight",
    "rm_lr": "learning rate of the reward model",
    "glitter": "glitter of a decoy (goal: 1)",
}


def draw_figures(runs: Mapping[str, xr.Dataset]) -> dict[str, plotting.Picture]:
    """Return three phase diagrams for each environment: utility, blind-spot mass, share that collapse."""
    drawn: dict[str, plotting.Picture] = {}
    for label, grid in GRIDS.items():
        x, y = grid["grid"]
        for name, title in figures.MAPS.items():
            best = float(runs[label]["optimum"].mean()) if name == "true_utility_final" else 1.0
            figure = figures.phase(
                runs[label], x, y, name, title, heading=f"{label}: ", labels=LABELS, limits=(0.0, best)
            )
            drawn[f"{label}_{name.removesuffix('_final')}"] = figure
    return drawn


def findings(runs: Mapping[str, xr.Dataset]) -> str:
    """Return a table with the share of each plane in which a method collapses, in most runs and in any."""
    lines = [
        "| plane | method | cells in which most runs collapse | cells in which any does | n a cell |",
        "|---|---|---|---|---|",
    ]
    for label, numbers in runs.items():
        for method in numbers["objective"].values:
            fell = numbers["collapsed"].sel(objective=method)
            shares = fell.mean("seed").values
            shares = shares[np.isfinite(shares)]
            most, some = f"{np.mean(shares > 0.5):.1%}", f"{np.mean(shares > 0):.1%}"
            cells = (label, LABELS.get(method, method), most, some, figures.seed_count(fell))
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


EXPERIMENT = SweepExperiment(
    name="phase",
    claim=(
        "Over pairs of hyperparameters iterative RLHF collapses in a region. The diagrams show this region, "
        "and what remains of it with FPO. The weight of FPO is the recipe's unless it is an axis. Runs in "
        "the gridworld have 200 iterations, a fifteenth of the recipe's."
    ),
    grids=GRIDS,
    figures=draw_figures,
    findings=findings,
)
