"""Claim: utility grows with what an oracle knows, from nothing (practical FPO) to U (relaxed FPO)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.preferences import COMMON, RLHF
from fpo_jax.experiments.preferences_gems import GEMS
from fpo_jax.experiments.runs.experiment import Experiment
from fpo_jax.experiments.runs.result import Result
from fpo_jax.plotting import Axis, Chart, Level
from fpo_jax.statistics import mean_interval

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
NOISES = (0.0, 0.25, 0.5, 1.0, 2.0)
INFORMED: dict[str, Any] = {**COMMON, **GEMS, "objective": "informed"}
BUFFERED: dict[str, Any] = {
    **GEMS,
    "follower": "optax",
    "alpha": 0.1,
    "rm_lr": 0.05,
    "weight_decay": 0.02,
    "rm_steps": 5,
    "replay": "fifo",
    "buffer_size": 5,
    "labels": "hard",
}


def draw_figures(results: Mapping[str, Result]) -> dict[str, plotting.Picture]:
    """Return a figure of final true utility against the known share, the oracle's noise, and the source."""
    utility = {label: result.metrics["true_utility"][:, -1] for label, result in results.items()}
    levels = (
        Level(float(utility["RLHF"].mean()), "RLHF", plotting.RLHF),
        Level(float(results["RLHF"].optimum.mean()), "best responses"),
    )
    charts = []
    for kind, places, title in (
        ("share", SHARES, "share of responses known to the oracle"),
        ("noise", NOISES, "standard deviation of its error in U"),
    ):
        estimate = mean_interval(np.array([utility[f"{kind} {p:g}"] for p in places]))
        line = plotting.against(places, estimate, "FPO, weight 1", plotting.EXACT)
        charts.append(Chart("", [line, *levels], Axis(title), Axis("true utility, final")))
    sources = {label.split()[1]: values for label, values in utility.items() if label.startswith("buffer")}
    charts.append(plotting.side_by_side(sources, "hard labels, replay buffer"))
    bands_say = "band: 95 % interval, bars: middle 80 % of seeds"
    heading = f"traps and gems, preferences; {len(utility['RLHF'])} seeds; {bands_say}"
    return {"oracle_information": plotting.figure([charts], heading, share="y")}


def findings(results: Mapping[str, Result]) -> str:
    """Say how much utility the residuals of the follower's own buffer add, and how much knowing U adds."""
    none, own, full = (
        results[f"buffer, {name}"].metrics["true_utility"][:, -1] for name in ("practical", "own", "relaxed")
    )
    gain, gap = mean_interval(own - none), mean_interval(full - none)
    return (
        f"With the residuals of the follower's own buffer, true utility changes by {gain.mean:+.3f} "
        f"[{gain.low:+.3f}, {gain.high:+.3f}] relative to practical FPO. With knowledge of U it changes by "
        f"{gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]. Differences are paired."
    )


EXPERIMENT = Experiment(
    name="oracle-information",
    claim=(
        "The unseen responses include gems as well as traps. Utility rises with the share of responses whose "
        "residual the leader knows, and falls with the oracle's error."
    ),
    methods={
        "RLHF": {**RLHF, **GEMS},
        **{f"share {s:g}": {**INFORMED, "oracle_share": s} for s in SHARES},
        **{f"noise {s:g}": {**INFORMED, "oracle_noise": s} for s in NOISES},
        "buffer, RLHF": {**RLHF, **BUFFERED},
        "buffer, practical": {**INFORMED, **BUFFERED, "oracle_share": 0.0},
        "buffer, own": {**INFORMED, **BUFFERED, "source": "labels", "kept": 5},
        "buffer, relaxed": {**INFORMED, **BUFFERED},
    },
    figures=draw_figures,
    findings=findings,
    long=True,
)
