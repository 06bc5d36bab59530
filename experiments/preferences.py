"""Claim: with preferences instead of labels RLHF collapses just as well, and the same methods prevent it."""

from collections.abc import Mapping
from typing import Any

from fpo_jax import plotting
from fpo_jax.experiments.runs import figures
from fpo_jax.experiments.runs.experiment import Experiment
from fpo_jax.experiments.runs.result import Result

COMMON: dict[str, Any] = {"environment": "contextual", "precision": "float32"}
RELAXED = {**COMMON, "objective": "fpo", "oracle": 1.0}
PRACTICAL = {**COMMON, "objective": "fpo", "oracle": 0.0}
RLHF = {**RELAXED, "weight": 0.0}  # one program for these three


def draw_figures(results: Mapping[str, Result]) -> dict[str, plotting.Picture]:
    """Return the curves over iterations."""
    objectives = ("myopic", "exact", "relaxed", "practical", "proximal", "best-of", "best-of")
    styles = plotting.styles(dict(zip(results, objectives, strict=True)))
    best = float(next(iter(results.values())).optimum.mean())
    levels = {"true_utility": (best, "best responses"), "blind_spot_mass": None, "kl": None}
    figure = figures.curves(results, levels, "contextual bandit, preferences", styles)
    return {"curves": figure}


EXPERIMENT = Experiment(
    name="preferences",
    claim=(
        "A Bradley-Terry reward model is trained on comparisons that seldom show the traps. RLHF moves to "
        "the trap at every trapped prompt, whether it follows the gradient or imitates the best of four "
        "candidates. The exact steering term and relaxed, practical and proximal FPO keep the policy out. "
        "Best-of-four does so too if candidates are ranked by the penalised reward."
    ),
    methods={
        "RLHF": RLHF,
        "exact": {**COMMON, "objective": "exact"},
        "relaxed 1": RELAXED,
        "practical 1": PRACTICAL,
        "proximal 3": {**COMMON, "objective": "proximal"},
        "best of 4": {**COMMON, "objective": "best-of"},
        "best of 4, relaxed 1": {**COMMON, "objective": "best-of", "score": "relaxed"},
    },
    figures=draw_figures,
    long=True,
)
