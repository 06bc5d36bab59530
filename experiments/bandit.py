"""Claim: on a bandit with a planted blind spot RLHF collapses, and the steering term prevents it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.special import softmax

from fpo_jax import plotting
from fpo_jax.envs.bandit import BanditGame
from fpo_jax.experiments.runs import figures
from fpo_jax.experiments.runs.experiment import Experiment
from fpo_jax.experiments.runs.result import Result
from fpo_jax.plotting import Axis


def draw_figures(results: Mapping[str, Result]) -> dict[str, plotting.Picture]:
    """Return the curves over iterations and the final policies over arms."""
    first = next(iter(results.values()))
    best, alpha = float(first.optimum.mean()), first.settings.values["alpha"]
    levels = {"true_utility": (best, "best arm, mean"), "proxy_reward": None, "blind_spot_mass": None}
    curves = figures.curves(
        results, levels, f"planted-blind-spot bandit, α = {alpha:g}, penalties with their weights"
    )
    for ax in curves.axes:
        ax.set_ylim(-0.03, 1.03)
    return {"curves": curves, "final_policy": _final_policy(results)}


def _final_policy(results: Mapping[str, Result]) -> Figure:
    """Draw the final policy of each method over arms, averaged over instances.

    Arms are ranked by quality, ordinary and planted ones apart.
    """
    styles, charts = figures.method_styles(results), []
    for label, result in results.items():
        games = result.games
        assert isinstance(games, BanditGame)
        arms = games.arms
        rank = np.lexsort((arms.quality, arms.planted), axis=1)
        policy = softmax(result.final.theta, axis=1)
        mass = np.take_along_axis(policy, rank, axis=1).mean(axis=0)
        planted = np.take_along_axis(np.asarray(arms.planted), rank, axis=1)[0]
        middles = (planted < 0.5).sum() / 2 - 0.5, mass.size - planted.sum() / 2 - 0.5
        ticks = dict(zip(middles, ("ordinary,\nworst to best", "planted"), strict=True))
        chart = plotting.policy_bars(mass, planted, styles[label], label)
        charts.append(replace(chart, x=replace(chart.x, ticks=ticks), y=Axis("final probability")))
    first = next(iter(results.values()))
    alpha, n = first.settings.values["alpha"], len(first.seeds)
    heading = f"final policy over arms, α = {alpha:g}, mean of {n} instances"
    return plotting.figure([charts], heading, size=(2.3 * len(results) + 0.6, 2.9), share="y")


METHODS: dict[str, dict[str, Any]] = {
    "RLHF": {"environment": "bandit", "objective": "myopic"},
    "exact": {"environment": "bandit", "objective": "exact"},
    "relaxed 0.3": {"environment": "bandit", "objective": "relaxed"},
    "relaxed 0.1": {"environment": "bandit", "objective": "relaxed", "weight": 0.1},
    "practical 0.1": {"environment": "bandit", "objective": "practical"},
}

EXPERIMENT = Experiment(
    name="bandit",
    claim=(
        "Iterative RLHF moves most of the policy into the planted blind spot. The exact steering term keeps "
        "it out, and so does relaxed FPO at weight 0.3. Relaxed and practical FPO at weight 0.1 lie between."
    ),
    methods=METHODS,
    figures=draw_figures,
)
