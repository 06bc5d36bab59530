"""Claim: in the neural environment exact foresight over one update of the real follower is not enough."""

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
    """Return curves of true utility, and the distribution of where seeds end."""
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
        "Exact foresight over one update of the real follower, Adam on its buffer, does not prevent "
        "collapse in the neural environment: one update is a small part of what the reward model goes on to "
        "learn. What holds in every seed is a penalty on self-influence of the right size: proximal, "
        "practical at its own weight, or relaxed FPO that is told ∂U/∂y."
    ),
    methods=METHODS,
    figures=draw_figures,
    seeds=64,
    long=True,
    every=20,
)
