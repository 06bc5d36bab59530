"""Claim: in the neural environment exact foresight over one follower update does not prevent collapse."""

from collections.abc import Mapping
from typing import Any

from fpo_jax import plotting
from fpo_jax.experiments.runs import figures
from fpo_jax.experiments.runs.experiment import Experiment
from fpo_jax.experiments.runs.result import Result

COMMON = {"environment": "neural", "precision": "float32"}
METHODS: dict[str, dict[str, Any]] = {
    "RLHF": {**COMMON, "objective": "myopic"},
    "exact, k = 1": {**COMMON, "objective": "exact"},
    "exact, k = 1, ∂U/∂y known": {**COMMON, "objective": "exact", "utility": "differentiated"},
    "first order, ∂U/∂y known": {**COMMON, "objective": "first-order"},
    "proximal 0.05": {**COMMON, "objective": "proximal", "weight": 0.05},
    "practical 0.01": {**COMMON, "objective": "practical", "weight": 0.01},
    "relaxed 0.005, ∂U/∂y known": {**COMMON, "objective": "relaxed", "utility": "differentiated"},
}


def draw_figures(results: Mapping[str, Result]) -> dict[str, plotting.Picture]:
    """Return a figure with curves of true utility and the distribution of its final values."""
    styles = plotting.ladder_styles(list(results))
    peak = (float(results["RLHF"].optimum.mean()), "peak")
    charts = [
        figures.metric(results, "true_utility", peak, styles),
        figures.distribution(results, styles),
    ]
    return {"ladder": plotting.figure([charts], f"neural environment: {figures.caption(results)}")}


EXPERIMENT = Experiment(
    name="neural-ladder",
    claim=(
        "In the neural environment exact foresight over one update of the real follower (Adam on its buffer) "
        "does not prevent collapse: one update is a small part of all that the reward model goes on to "
        "learn. A penalty on self-influence prevents collapse in every seed if it has the right size: "
        "proximal, practical at its own weight, or relaxed FPO that knows ∂U/∂y."
    ),
    methods=METHODS,
    figures=draw_figures,
    seeds=64,
    long=True,
    every=20,
)
