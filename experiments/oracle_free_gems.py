"""Claim: whether gems among the unseen responses can be found with labels that were paid for."""

from collections.abc import Mapping

import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.comparison.experiment import Comparison
from fpo_jax.experiments.comparison.methods import RLHF, Method, Place
from fpo_jax.experiments.comparison.trial import Trial, Trials
from fpo_jax.experiments.core.wording import NONE, with_interval
from fpo_jax.experiments.oracle_free import closed
from fpo_jax.experiments.oracle_free_seeds import CARRIED
from fpo_jax.experiments.report.parts import markdown_table
from fpo_jax.plotting import Axis, Chart, Points, Style
from fpo_jax.statistics import mean_interval

WEIGHTS = (0.01, 0.0316, 0.1, 0.316, 1.0, 3.16)
PRACTICAL = Method("practical FPO", {"objective": "practical"}, "weight", WEIGHTS)
ORACLE = Method("relaxed FPO", {"objective": "relaxed"}, "weight", WEIGHTS)
SCHEDULE = {**CARRIED, "unknown": -1.0, "unknown_final": 1.0}
REPLAYED = {"objective": "myopic", "follower": "replayed", "updates": 20}
METHODS = (
    RLHF,
    PRACTICAL,
    Method("leverage", {"objective": "leverage"}, "weight", WEIGHTS),
    Method("leverage, bounded", {"objective": "leverage", "form": "bounded"}, "weight", WEIGHTS),
    Method("carried labels", CARRIED, "weight", WEIGHTS),
    Method("carried labels, optimistic", {**CARRIED, "unknown": -1.0}, "weight", WEIGHTS),
    Method("carried labels, from optimism to pessimism", SCHEDULE, "weight", WEIGHTS),
    Method("carried labels, 20 updates", {**CARRIED, "kept": 20}, "weight", WEIGHTS),
    Method("from optimism to pessimism, 20 updates", {**SCHEDULE, "kept": 20}, "weight", WEIGHTS),
    Method(
        "from optimism to pessimism, 20 updates, verdicts",
        {**SCHEDULE, "kept": 20, "labels": "hard"},
        "weight",
        WEIGHTS,
    ),
    Method("RLHF, the follower keeps 20 updates", REPLAYED),
    ORACLE,
)
"""The leader keeps the labels of 5 updates or of 20. A label is the annotator's probability; verdicts are
drawn from it. The last method knows U of any response.
"""
BUDGETS = (16, 64)
"""Pairs that are labelled at an update."""
PLACES = tuple(
    Place(
        f"{budget} pairs an update",
        {"environment": "contextual", "gems": 1, "label_budget": budget},
        tuning=16,
        seeds=64,
    )
    for budget in BUDGETS
)


def findings(trials: Trials) -> str:
    """Return a table: what each method closes of the distance to the oracle, and its regret."""
    head = ["method", *(f"{name}, {place}" for place in trials for name in ("closes", "regret"))]
    body = [
        [method.label, *(cell for own in trials.values() for cell in _cells(own, method))]
        for method in METHODS
    ]
    said = (
        f"Closes: share of the distance between {PRACTICAL.label} and {ORACLE.label} in share gained at the "
        "end, on the same seeds and with as many labels. Regret: mean of 1 − the share gained over entries. "
        "Means with 95 % intervals."
    )
    return f"{markdown_table(head, body)}\n\n{said}"


def _cells(trials: Mapping[str, Trial], method: Method) -> tuple[str, str]:
    regret = mean_interval(np.squeeze(trials[method.label].judged.regret))
    told = with_interval(regret.mean, regret.low, regret.high, 2)
    if method in (PRACTICAL, ORACLE):  # the ends of the distance
        return NONE, told
    labels = (PRACTICAL.label, ORACLE.label, method.label)
    share = closed(*(np.squeeze(trials[label].judged.gained) for label in labels))
    return with_interval(share.mean, share.low, share.high, 2), told


def draw_figures(trials: Trials) -> Mapping[str, plotting.Picture]:
    """Return what every method gains at the end, and its regret over the run, by budget."""
    ticks = {float(row): method.label for row, method in enumerate(METHODS)}
    rows = Axis(ticks=ticks, limits=(len(METHODS) - 0.5, -0.5))
    charts = []
    for title, name in (("share gained at the end", "gained"), ("regret over the run", "regret")):
        marks = []
        for number, (place, own) in enumerate(trials.items()):
            found = [mean_interval(np.squeeze(getattr(own[m.label].judged, name))) for m in METHODS]
            mean, low, high = (
                np.array([getattr(one, end) for one in found]) for end in ("mean", "low", "high")
            )
            at = np.arange(len(METHODS)) + 0.24 * (number - (len(trials) - 1) / 2)
            style = Style(plotting.ORDINARY, (1.0, 1.0) * number)  # filled, then hollow
            marks.append(Points(mean, at, style, place, low, high, sideways=True))
        charts.append(Chart("", marks, Axis(title), rows))
    heading = "contextual with gems; each method at the weight that other seeds chose; 95 % intervals"
    return {"oracle_free_gems": plotting.figure([charts], heading, size=(9.0, 4.2), share="y")}


EXPERIMENT = Comparison(
    name="oracle-free-gems",
    claim=(
        "Where the unseen holds traps and gems, and every method has as many labels: what methods without an "
        "oracle gain, and what the search for gems costs over the run."
    ),
    places=PLACES,
    methods=METHODS,
    figures=draw_figures,
    findings=findings,
).with_small_form(
    claim="A few iterations of each method, to see that all works.",
    methods=tuple(method._replace(values=method.values[2:4]) for method in METHODS),
    settings={"steps": 3},
)
