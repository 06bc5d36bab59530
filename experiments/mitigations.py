"""Claim: with U proximal FPO never collapses, and without U no mitigation works everywhere."""

from collections.abc import Mapping

import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.comparison import figures
from fpo_jax.experiments.comparison.experiment import Comparison
from fpo_jax.experiments.comparison.methods import METHODS, PLACES, RLHF, logarithmic
from fpo_jax.experiments.comparison.trial import Trial, Trials
from fpo_jax.experiments.core.wording import NONE


def draw_figures(trials: Trials) -> Mapping[str, plotting.Picture]:
    """Return figures of methods by places, and of the share gained against the range of safe values."""
    places = [place for place in PLACES if place.label in trials]
    shown = [method for method in METHODS if all(method.label in trials[place.label] for place in places)]
    return {
        "methods_by_place": figures.by_place(places, shown, trials),
        "safety": figures.safety(places, shown, trials),
    }


def findings(trials: Trials) -> str:
    """Return the table of methods by places, with the share gained and the share of seeds that collapse."""
    head = ["method", "knows", *trials, "time over RLHF"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for method in METHODS:
        found = [by_method[method.label] for by_method in trials.values() if method.label in by_method]
        if len(found) < len(trials):
            continue
        costs = [
            float(trial.judged.seconds / by_method[RLHF.label].judged.seconds)
            for trial, by_method in zip(found, trials.values(), strict=True)
            if trial.defined
        ]
        timed = [cost for cost in costs if np.isfinite(cost)]
        cells = [method.label, method.knows, *map(_cell, found), f"{np.median(timed):.1f}" if timed else NONE]
        lines.append(f"| {' | '.join(cells)} |")
    said = (
        "The numbers are shares of the possible gain, (U − U₀) / (U* − U₀), means over the seeds that judge. "
        "Brackets give the share of these seeds that collapse, if any does. A dash means not defined. Time "
        "is CPU seconds relative to RLHF, the median over the places that a CPU computed."
    )
    return "\n".join([*lines, "", said])


def _cell(trial: Trial) -> str:
    if not trial.defined:
        return NONE
    fell = float(np.mean(trial.judged.collapsed))
    few = f"{100 * fell:.0f} %" if fell >= 0.01 else "< 1 %"
    return f"{np.mean(trial.judged.gained):z.2f}" + (f" ({few})" if fell else "")


EXPERIMENT = Comparison(
    name="mitigations",
    claim=(
        "This study compares every mitigation with FPO, each at the value that one rule chose on other "
        "seeds. It says how much of the possible gain each reaches, in how many seeds it collapses, over "
        "which range of values it is safe, what it must know, and what it costs."
    ),
    places=PLACES,
    methods=METHODS,
    figures=draw_figures,
    findings=findings,
).with_small_form(
    claim="A few iterations of each method in two environments, to check that everything works.",
    places=tuple(place for place in PLACES if place.label in ("bandit", "linear")),
    methods=tuple(m._replace(values=logarithmic(-1, 0)) if m.tuned else m for m in METHODS),
    settings={"steps": 40},
)
