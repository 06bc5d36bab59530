"""Claim: at a myopic equilibrium the norm of the residual steering says little about how much U is lost."""

from typing import Any

import numpy as np
from scipy.stats import bootstrap, rankdata, spearmanr

from fpo_jax import plotting
from fpo_jax.experiments.core.wording import with_interval
from fpo_jax.experiments.study.experiment import Found, Numbers, Row, Study
from fpo_jax.experiments.study.steering import REST, Drawn, part
from fpo_jax.plotting import Axis, Chart, Points

ALPHA = (0.05, 0.95)
RIDGE, VISIBILITY = (0.01, 1.0), (0.1, 1.0)
DECOYS = {
    "planted_style_low": (1.0, 2.0),
    "planted_style_high": (2.0, 4.0),
    "planted_quality": (0.0, 0.5),
    "style_noise": (0.1, 0.5),
}


def _bandit(ordinary: int, planted: int) -> Drawn:
    sizes = {"ordinary": ordinary, "planted": planted}
    log = {"ridge": (0.001, 1.0), "visibility": VISIBILITY}
    label = f"bandit, {ordinary + planted} arms"
    return Drawn("bandit", label, sizes, {"alpha": ALPHA, **DECOYS}, log, 0.5, 3000)


PLACES = (
    _bandit(8, 2),
    _bandit(18, 6),
    _bandit(30, 10),
    Drawn(
        "garnet",
        "garnet",
        {},
        {"alpha": ALPHA, "planted_share": (0.1, 0.4)},
        {"ridge": RIDGE, "visibility": VISIBILITY},
        1.0,
        600,
    ),
    Drawn(
        "gridworld",
        "gridworld",
        {},
        {"alpha": ALPHA, "glitter": (1.0, 3.0), "slip": (0.0, 0.3)},
        {"ridge": RIDGE, "visibility": VISIBILITY},
        1.0,
        600,
    ),
    Drawn(
        "contextual",
        "contextual",
        {},
        {"alpha": ALPHA, "trap_style": (1.5, 3.5), "trap_quality": (0.0, 0.5)},
        {"ridge": (0.001, 0.1), "visibility": VISIBILITY},
        0.5,
        500,
    ),
)
EACH = 150
"""Number of instances of each environment."""
MEASURES = {
    "steering_norm": "√E_π[S²], the norm",
    "in_logits": "‖s‖ in logits",
    "largest": "max S",
    "spread": "√E_*[S²], S where foresight goes",
    "towards": "E_*[S], gain of going there",
}
LOSSES = {
    "U lost to the best policy": ("optimum", "utility"),
    "U lost to foresight": ("utility_foresight", "utility"),
    "F lost to foresight": ("value_foresight", "value"),
}
POOLED = "pooled"
RESAMPLES = 1000


def by_environment(found: Found) -> dict[str, Numbers]:
    """Return the numbers of each environment over all its parts, without instances that are not at rest."""
    groups: dict[str, list[Numbers]] = {}
    for label, numbers in found.items():
        groups.setdefault(label.split(",")[0], []).append(numbers)
    names = [*MEASURES, "residual", "residual_foresight", "found", "blind_spot_mass", "first"]
    names += [name for pair in LOSSES.values() for name in pair]
    whole = {
        group: {name: np.concatenate([one[name] for one in rows]) for name in dict.fromkeys(names)}
        for group, rows in groups.items()
    }
    return {group: _at_rest(numbers) for group, numbers in whole.items()}


def _at_rest(numbers: Numbers) -> Numbers:
    rests = (numbers["residual"] < REST) & (numbers["residual_foresight"] < REST)
    return {name: values[rests] for name, values in numbers.items()}


def _within(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return ranks within groups 0, 1, … along the last axis, scaled to (0, 1)."""
    ranks = rankdata(group * 2 * values.shape[-1] + rankdata(values, axis=-1), axis=-1)
    for one in range(int(group.max()) + 1):
        own = group == one
        below, size = (np.sum(which, axis=-1, keepdims=True) for which in (group < one, own))
        ranks = np.where(own, (ranks - below - 0.5) / np.maximum(size, 1), ranks)
    return ranks


def _rank_correlation(x: np.ndarray, y: np.ndarray, group: np.ndarray, axis: int = -1) -> np.ndarray:
    a, b = (_within(values, group) - 0.5 for values in (x, y))  # the mean rank is ½
    return np.sum(a * b, axis) / np.sqrt(np.sum(a**2, axis) * np.sum(b**2, axis))


def correlation(x: np.ndarray, y: np.ndarray, group: np.ndarray) -> Row:
    """Return Spearman's correlation of ranks within groups, with its 95 % bootstrap interval.

    Args:
        x, y: [instance].
        group: [instance] number of the group, from 0.
    """
    found = bootstrap(
        (x, y, group),
        _rank_correlation,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=100,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    value = float(_rank_correlation(x, y, group))
    return {"correlation": value, "low": float(found.low), "high": float(found.high)}


def rows(found: Found) -> list[Row]:
    """Return a row with the correlation of each measure with each loss, by environment and pooled."""
    groups = by_environment(found)
    number = {name: np.zeros(len(one["utility"]), int) for name, one in groups.items()}
    whole = {
        name: np.concatenate([one[name] for one in groups.values()]) for name in next(iter(groups.values()))
    }
    everywhere = {**groups, POOLED: whole}
    number[POOLED] = np.repeat(np.arange(len(groups)), [len(one["utility"]) for one in groups.values()])
    table: list[Row] = []
    for place, numbers in everywhere.items():
        for loss, (better, own) in LOSSES.items():
            lost = numbers[better] - numbers[own]
            for measure in MEASURES:
                row = {"environment": place, "loss": loss, "measure": measure, "instances": len(lost)}
                table.append(row | correlation(numbers[measure], lost, number[place]))
    return table


def draw_figures(found: Found, table: list[Row]) -> dict[str, plotting.Picture]:
    """Return a figure of lost U against the norm, and against the gain that steering promises."""
    charts: list[list[Chart]] = []
    style = plotting.Style(plotting.ORDINARY)
    for measure, log in (("steering_norm", True), ("towards", False)):
        row = []
        for name, numbers in by_environment(found).items():
            lost = numbers["optimum"] - numbers["utility"]
            rho = spearmanr(numbers[measure], lost).statistic
            marks = [Points(numbers[measure], lost, style, size=2.5)]
            title = f"{name}: Spearman {rho:+.2f}"
            row.append(
                Chart(title, marks, Axis(MEASURES[measure], log=log), Axis("U lost to the best policy"))
            )
        charts.append(row)
    heading = "myopic equilibria of drawn instances, one point each: residual steering, and lost utility"
    return {"residual_steering": plotting.figure(charts, heading, size=(12.0, 5.6))}


def findings(found: Found, table: list[Row]) -> str:
    """Return a table of correlations for each loss, measures by environments."""
    groups = by_environment(found)
    places = [*groups, POOLED]
    said = []
    for loss in LOSSES:
        head = ["Spearman's rank correlation", *places]
        lines = [f"**{loss}**", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for measure, words in MEASURES.items():
            cells: list[Any] = [words]
            for place in places:
                (row,) = [
                    one
                    for one in table
                    if (one["environment"], one["loss"], one["measure"]) == (place, loss, measure)
                ]
                cells.append(with_interval(row["correlation"], row["low"], row["high"], 2))
            lines.append(f"| {' | '.join(cells)} |")
        said.append("\n".join(lines))
    drawn = sum(len(numbers["utility"]) for numbers in found.values())
    kept = ", ".join(f"{len(one['utility'])} {name}" for name, one in groups.items())
    runs = sum(int(np.sum(one["found"] == 0)) for one in groups.values())
    said.append(
        f"{drawn} instances were drawn. {kept} came to rest, and the others are excluded. For {runs} of them "
        "the search found no equilibrium, and the end of a run takes its place. Brackets give 95 % bootstrap "
        "intervals over instances. Pooled correlations are between ranks within each environment."
    )
    return "\n\n".join(said)


EXPERIMENT = Study(
    name="residual-steering",
    claim=(
        "RLHF leaves out the steering gradient. Does the norm of this gradient, where RLHF comes to rest, "
        "tell how much utility is lost there?"
    ),
    pieces=tuple(part(place, EACH // 3 if place.environment == "bandit" else EACH) for place in PLACES),
    figures=draw_figures,
    rows=rows,
    findings=findings,
    small=tuple(part(place, 8) for place in (PLACES[0], PLACES[-1])),
)
