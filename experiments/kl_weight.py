"""Claim: KL regularisation alone keeps RLHF above its start only where it also prevents most of the gain."""

from collections.abc import Mapping

import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.preferences import RELAXED
from fpo_jax.experiments.runs.experiment import Experiment
from fpo_jax.experiments.runs.result import Result
from fpo_jax.plotting import Axis, Chart, HeatMap

KL_WEIGHTS = (0.0, 0.05, 0.1, 0.3, 1.0)
WEIGHTS = (0.0, 0.1, 0.3, 1.0)
ENOUGH = 0.95
"""Share of the best cell's utility that counts as sufficient."""


def _label(kl_weight: float, weight: float) -> str:
    return f"β {kl_weight:g}, weight {weight:g}"


def table(results: Mapping[str, Result], metric: str) -> np.ndarray:
    """Return the mean final value of a metric, [weight, β]."""
    return np.array(
        [[results[_label(b, w)].metrics[metric][:, -1].mean() for b in KL_WEIGHTS] for w in WEIGHTS]
    )


def _rises(result: Result) -> np.ndarray:
    """Return for each seed whether it ends with more utility than its start, the reference policy."""
    utility = result.metrics["true_utility"]
    return utility[:, -1] > utility[:, 0]


def findings(results: Mapping[str, Result]) -> str:
    """Say at which coefficients KL alone ends above the reference, and at which it comes near the best."""
    utility = table(results, "true_utility")
    alone = [f"{b:g}" for b, u in zip(KL_WEIGHTS, utility[0], strict=True) if u >= ENOUGH * utility.max()]
    held = [f"{b:g}" for b in KL_WEIGHTS if _rises(results[_label(b, 0.0)]).all()]
    row, column = np.unravel_index(np.argmax(utility), utility.shape)
    return (
        f"The best cell, weight {WEIGHTS[row]:g} at β = {KL_WEIGHTS[column]:g}, has true utility "
        f"{utility.max():.3f}. KL alone (weight 0) ends above the reference policy in every seed at β = "
        f"{', '.join(held) or 'none of the grid'}. Its best utility is {utility[0].max():.3f}, at β = "
        f"{KL_WEIGHTS[int(np.argmax(utility[0]))]:g}. It reaches {100 * ENOUGH:.0f} % of the best cell at "
        f"β = {', '.join(alone) or 'none of the grid'}."
    )


def draw_figures(results: Mapping[str, Result]) -> dict[str, plotting.Picture]:
    """Return heat maps of final utility and blind-spot mass, weight by β."""
    titles = {"true_utility": "true utility, final", "blind_spot_mass": "blind-spot mass, final"}
    x, y = (
        Axis(title, ticks={float(i): f"{value:g}" for i, value in enumerate(values)})
        for title, values in (
            ("β, coefficient of KL to the reference", KL_WEIGHTS),
            ("weight of relaxed FPO", WEIGHTS),
        )
    )
    charts = []
    for metric, title in titles.items():
        values = table(results, metric)
        places = np.arange(values.shape[1]), np.arange(values.shape[0])
        limits = (0.0, max(float(values.max()), 1e-3))
        charts.append(Chart(title, [HeatMap(*places, values, limits, "Blues", written=True)], x, y))
    n = len(next(iter(results.values())).seeds)
    heading = f"contextual bandit, preferences; mean of {n} seeds; bottom row: KL alone"
    return {"kl_weight": plotting.figure([charts], heading)}


EXPERIMENT = Experiment(
    name="kl-weight",
    claim=(
        "A strong pull to the reference policy keeps RLHF from ending below it, at the price of staying near "
        "it. With KL alone no coefficient reaches half of the possible gain. Relaxed FPO with a weak pull "
        "does."
    ),
    methods={_label(b, w): {**RELAXED, "kl_weight": b, "weight": w} for b in KL_WEIGHTS for w in WEIGHTS},
    figures=draw_figures,
    findings=findings,
    long=True,
    every=30,
)
