"""Claim: in the linear environment foresight over one follower step is not enough, over ten it is."""

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
        "The horizon over which the leader foresees its follower decides the outcome in the linear "
        "environment: k = 0 (RLHF) overshoots into noise, one step of foresight removes part of it, ten "
        "nearly all, fifty slightly less. At k = ∞ the policy never leaves its start y = 0: a reward model "
        "trained to convergence on that one response is 0, and so is the gradient of what it will be."
    ),
    methods=_methods(),
    figures=draw_figures,
)
