"""Claim: what each published mitigation is worth beside FPO, all of them tuned by one rule."""

from collections.abc import Mapping

import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.comparison import figures
from fpo_jax.experiments.comparison.experiment import Comparison, Trials
from fpo_jax.experiments.comparison.methods import METHODS, PLACES, logarithmic


def draw_figures(trials: Trials) -> Mapping[str, plotting.Picture]:
    """Return methods by places, and safety range against what was gained."""
    places = [place for place in PLACES if place.label in trials]
    shown = [method for method in METHODS if all(method.label in trials[place.label] for place in places)]
    return {
        "methods_by_place": figures.by_place(places, shown, trials),
        "safety": figures.safety(places, shown, trials),
    }


def findings(trials: Trials) -> str:
    """Say which method gains most at each place, and which of those that know nothing does."""
    lines = ["| place | most gained | most gained by a method that does not know U |", "|---|---|---|"]
    knows = {method.label: method.knows for method in METHODS}
    for place, by_method in trials.items():
        means = {label: float(np.mean(t.judged.gained)) for label, t in by_method.items() if t.defined}
        blind = {label: mean for label, mean in means.items() if "U" not in knows[label]}
        best, own = (max(each, key=lambda label: each[label]) for each in (means, blind))
        lines.append(f"| {place} | {best}: {means[best]:.2f} | {own}: {blind[own]:.2f} |")
    return "\n".join(lines)


EXPERIMENT = Comparison(
    name="mitigations",
    claim=(
        "Every mitigation beside FPO, at the value that one rule chose on other seeds: what it gains of what "
        "is to be gained, in how many seeds it collapses, over which range of values it is safe, what it "
        "must know, and what it costs."
    ),
    places=PLACES,
    methods=METHODS,
    figures=draw_figures,
    findings=findings,
    quick=Comparison(
        name="mitigations",
        claim="A few iterations of each method in two environments, to see that all works.",
        places=tuple(place for place in PLACES if place.label in ("bandit", "linear")),
        methods=tuple(m._replace(values=logarithmic(-1, 0)) if m.tuned else m for m in METHODS),
        figures=draw_figures,
        findings=findings,
        settings={"steps": 40},
    ),
)
