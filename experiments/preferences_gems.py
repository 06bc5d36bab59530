"""Claim: practical FPO avoids unseen traps and unseen gems alike, and relaxed FPO tells them apart."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.preferences import PRACTICAL, RELAXED, RLHF
from fpo_jax.experiments.runs import figures
from fpo_jax.experiments.runs.experiment import Experiment
from fpo_jax.experiments.runs.result import Result
from fpo_jax.plotting import Axis, Chart, Level
from fpo_jax.statistics import mean_interval

WEIGHTS = (0.1, 0.3, 1.0, 3.0)
GEMS = {"gems": 1}
PENALTIES: dict[str, dict[str, Any]] = {"relaxed": {**RELAXED, **GEMS}, "practical": {**PRACTICAL, **GEMS}}


def _label(method: str, weight: float) -> str:
    return f"{method} {weight:g}"


def draw_figures(results: Mapping[str, Result]) -> dict[str, plotting.Picture]:
    """Return a figure of true utility and of mass in the traps against the weight."""
    styles = plotting.styles({"RLHF": "myopic", **{name: name for name in PENALTIES}})
    charts = []
    for name in ("true_utility", "blind_spot_mass"):
        lines = []
        for method in PENALTIES:
            finals = np.array([results[_label(method, w)].metrics[name][:, -1] for w in WEIGHTS])
            lines.append(plotting.against(WEIGHTS, mean_interval(finals), method, styles[method]))
        rlhf = Level(float(results["RLHF"].metrics[name][:, -1].mean()), "RLHF", styles["RLHF"])
        title = f"{figures.TITLES[name]}, final"
        charts.append(Chart(title, [*lines, rlhf], Axis("weight", log=True)))
    utility, traps = charts
    utility = utility.with_marks(Level(float(results["RLHF"].optimum.mean()), "best responses"))
    n = len(results["RLHF"].seeds)
    heading = f"traps and gems, preferences; {n} seeds, mean and 95 % interval"
    return {"weights": plotting.figure([[utility, traps]], heading)}


EXPERIMENT = Experiment(
    name="preferences-gems",
    claim=(
        "At trapped prompts the best response, the gem, is unseen and looks like the traps. Practical FPO "
        "penalises influence of either sign: weights that keep it off the traps also keep it off the gems, "
        "and it ends below RLHF. Relaxed FPO knows the annotator's preference, avoids the traps and takes "
        "the gems."
    ),
    methods={
        "RLHF": {**RLHF, **GEMS},
        **{_label(name, w): {**wishes, "weight": w} for name, wishes in PENALTIES.items() for w in WEIGHTS},
    },
    figures=draw_figures,
    long=True,
)
