"""Claim: in the linear environment foresight over one follower step is too short, over ten long enough."""

from collections.abc import Mapping
from typing import Any

from fpo_jax import plotting
from fpo_jax.experiments.runs import figures
from fpo_jax.experiments.runs.experiment import Experiment
from fpo_jax.experiments.runs.result import Result
from fpo_jax.plotting import Level

HORIZONS = (1, 2, 5, 10, 50)
PREFIX = "k = "


def draw_figures(results: Mapping[str, Result]) -> dict[str, plotting.Picture]:
    """Return final true utility against the horizon, and true utility over iterations."""
    peak = (float(next(iter(results.values())).optimum.mean()), "peak")
    finals = {
        label.removeprefix(PREFIX): result.metrics["true_utility"][:, -1] for label, result in results.items()
    }
    charts = [
        plotting.side_by_side(finals, figures.END, "foresight horizon k").with_marks(Level(*peak)),
        figures.metric(results, "true_utility", peak, plotting.ladder_styles(list(results))),
    ]
    return {"horizon": plotting.figure([charts], f"linear environment: {figures.caption(results)}")}


def _methods() -> dict[str, dict[str, Any]]:
    exact = {f"{PREFIX}{k}": {"environment": "linear", "objective": "exact", "horizon": k} for k in HORIZONS}
    return {
        f"{PREFIX}0": {"environment": "linear", "objective": "myopic"},
        **exact,
        f"{PREFIX}∞": {"environment": "linear", "objective": "limit"},
    }


EXPERIMENT = Experiment(
    name="horizon",
    claim=(
        "In the linear environment the horizon of foresight decides the outcome. RLHF (k = 0) overshoots "
        "into noise. One step of foresight removes part of the noise, ten steps nearly all, fifty slightly "
        "less. At k = ∞ the policy never leaves its start y = 0: a reward model trained to convergence on "
        "that one response is 0, and so is the gradient of the foreseen reward."
    ),
    methods=_methods(),
    figures=draw_figures,
)
