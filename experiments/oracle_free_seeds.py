"""Claim: in how many of a thousand seeds a method without an oracle collapses, under a label budget."""

from collections.abc import Mapping, Sequence

import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.comparison import figures
from fpo_jax.experiments.comparison.experiment import Comparison
from fpo_jax.experiments.comparison.methods import Method, Place
from fpo_jax.experiments.comparison.trial import Trials
from fpo_jax.experiments.core.wording import NONE
from fpo_jax.statistics import share_interval

WEIGHTS = (0.0316, 0.0562, 0.1, 0.178, 0.316, 0.562, 1.0, 1.78, 3.16, 5.62, 10.0, 17.8, 31.6)
"""Four to a decade: in the linear environment what practical FPO gains has a narrow peak."""
DRIFT = (10.0, 17.8, 31.6, 56.2, 100.0, 178.0, 316.0, 562.0, 1000.0)
DISAGREEMENT = (1.0, 3.16, 10.0, 31.6, 100.0, 316.0, 1000.0)
CARRIED = {"objective": "carried", "kept": 5}
WARY = {**CARRIED, "unknown": 3.0}
EVERYWHERE = Method("carried labels, unknown 3, weight 1", {**WARY, "weight": 1.0})
"""One setting for all places."""
METHODS = (
    Method("practical FPO", {"objective": "practical"}, "weight", WEIGHTS),
    Method("leverage", {"objective": "leverage"}, "weight", WEIGHTS),
    Method("leverage, bounded", {"objective": "leverage", "form": "bounded"}, "weight", WEIGHTS),
    Method("informed by labels", {"objective": "informed", "source": "labels", "kept": 5}, "weight", WEIGHTS),
    Method("carried labels", CARRIED, "weight", WEIGHTS),
    Method("carried labels, unknown 3", WARY, "weight", WEIGHTS),
    EVERYWHERE,
    Method(
        "carried labels, 50 updates", {"objective": "carried", "kept": 50, "reach": 0.1}, "weight", WEIGHTS
    ),
    Method("drift", {"objective": "drift"}, "weight", DRIFT),
    Method("disagreement of 4", {"objective": "ensemble", "follower": "ensemble"}, "weight", DISAGREEMENT),
    Method("proximal FPO", {"objective": "proximal"}, "weight", WEIGHTS),
)
"""The last knows U of any response, and stands for what an oracle is worth."""
PLACES = (
    Place("bandit", {"environment": "bandit", "label_budget": 8}, tuning=32, seeds=1000),
    Place(
        "bandit, α = 0.1", {"environment": "bandit", "alpha": 0.1, "label_budget": 8}, tuning=32, seeds=1000
    ),
    Place("linear", {"environment": "linear"}, differ="start", tuning=32, seeds=1000),
)
"""Labels of an update: 8 draws of the policy; in the linear environment 1, the action itself."""


def findings(methods: Sequence[Method], trials: Trials) -> str:
    """Return the table of methods by places: seeds that collapse, with the interval of their share."""
    head = ["method", "knows", *trials]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for method in methods:
        cells = []
        for by_method in trials.values():
            trial = by_method[method.label]
            if not trial.defined:
                cells.append(NONE)
                continue
            fell = np.squeeze(trial.judged.collapsed)
            share = share_interval(fell)
            cells.append(
                f"{np.mean(trial.judged.gained):z.2f}; {int(fell.sum())} of {fell.size}"
                f" [{100 * share.low:.1f}, {100 * share.high:.1f}] %"
            )
        lines.append(f"| {method.label} | {method.knows} | {' | '.join(cells)} |")
    said = (
        "Share of the possible gain, mean; then seeds that collapse, with the Wilson interval of "
        "their share. Each method at the weight that other seeds chose; all on the same seeds."
    )
    return "\n".join([*lines, "", said])


def at_places(
    name: str, claim: str, places: Sequence[Place], methods: Sequence[Method] = METHODS
) -> Comparison:
    """Return the comparison of the methods at these places, with a small form at the first of them."""

    def draw_figures(trials: Trials) -> Mapping[str, plotting.Picture]:
        shown = [place for place in places if place.label in trials]
        return {name.replace("-", "_"): figures.by_place(shown, methods, trials)}

    return Comparison(
        name=name,
        claim=claim,
        places=tuple(places),
        methods=tuple(methods),
        figures=draw_figures,
        findings=lambda trials: findings(methods, trials),
    ).with_small_form(
        claim="A few iterations of each method at one place, to see that all works.",
        places=tuple(places[:1]),
        methods=tuple(method._replace(values=method.values[2:4]) for method in methods),
        settings={"steps": 40},
    )


EXPERIMENT = at_places(
    "oracle-free-seeds",
    "Under a budget of labels, each method without an oracle, at the weight that other seeds chose: in how "
    "many of a thousand seeds it collapses.",
    PLACES,
)
