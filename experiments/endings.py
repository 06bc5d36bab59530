"""Claim: collapse is where RLHF comes to rest, and nearly all equilibria of all objectives attract."""

from collections.abc import Mapping

import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.core.wording import NONE
from fpo_jax.experiments.study.endings import KINDS, Place, part, power, rate
from fpo_jax.experiments.study.experiment import Found, Numbers, Row, Study
from fpo_jax.experiments.study.steering import REST
from fpo_jax.plotting import Axis, Chart, Line
from fpo_jax.statistics import share_gained

PLACES = (
    Place("bandit", 2000),
    Place("gridworld", 400),
    Place("garnet", 400),
    Place("corridor", 400),
    Place("linear", 60_000, logits=False),
    Place("contextual", 600),
)
OBJECTIVES: Mapping[str, str] = {
    "myopic": "RLHF",
    "exact": "exact",
    "relaxed": "relaxed FPO",
    "practical": "practical FPO",
    "proximal": "proximal FPO",
    "leverage": "leverage",
}
INSTANCES = 16
SHOWN = {
    "gained": "share gained",
    "blind_spot_mass": "blind-spot mass",
    "to_foresight": "from exact's",
    "kind": "second order",
    "attracting": "attracting",
    "found": "found",
    "resting": "at rest",
    "radius": "radius",
    "mirror_rate": "mirror steps: factor",
    "mirror_end": "their end",
    "gradient_end": "gradient steps: end",
    "gradient_later": "ten times on",
    "gradient_power": "k of t⁻ᵏ",
}
"""Columns of the table on a page, with their titles. The CSV file has all columns."""


def rows(found: Found) -> list[Row]:
    """Return a row for each objective in each environment, with means and medians over instances."""
    table = []
    for label, numbers in found.items():
        objective, place = label.split(", ")
        exact = found.get(f"exact, {place}")
        row: Row = {
            "environment": place,
            "objective": OBJECTIVES[objective],
            "instances": len(numbers["found"]),
        }
        table.append(row | _row(numbers, exact))
    order = [place.environment for place in PLACES]
    return sorted(table, key=lambda row: order.index(row["environment"]))


def _row(numbers: Numbers, exact: Numbers | None) -> Row:
    path = np.stack([numbers["first"], numbers["utility"]], axis=1)
    row: Row = {"gained": float(np.mean(share_gained(path, numbers["optimum"])[:, -1]))}
    row["blind_spot_mass"] = float(np.mean(numbers["blind_spot_mass"]))
    if exact is not None:
        away = np.abs(numbers["weights"] - exact["weights"]).sum(axis=1)
        row["to_foresight"] = float(
            np.mean(0.5 * away if "mirror_time" in numbers else _length(numbers, exact))
        )
    is_found = numbers["found"] > 0
    row |= {"found": int(is_found.sum()), "resting": int(np.sum(numbers["residual"] < REST))}
    if is_found.any():
        row["attracting"] = float(np.mean(numbers["stable"][is_found]))
        kinds = [KINDS[int(kind)] for kind in numbers["kind"][is_found]]
        row["kind"] = ", ".join(sorted(set(kinds), key=kinds.count, reverse=True))
        row["radius"] = float(np.median(numbers["radius"][is_found]))
    if "mirror_time" in numbers:
        rates = [rate(numbers["mirror_time"], one) for one in numbers["mirror_distance"]]
        row["mirror_rate"] = _median(rates)
        row["mirror_end"] = float(np.median(numbers["mirror_distance"][:, -1]))
    times = numbers["gradient_time"]
    at = int(np.argmin(np.abs(np.log(times / (times[-1] / 10.0)))))
    for name, key in (("gradient", "gradient_distance"), ("utility", "gradient_utility")):
        row[f"{name}_end"], row[f"{name}_later"] = (float(np.median(numbers[key][:, i])) for i in (at, -1))
    row["gradient_power"] = _median([power(times, one) for one in numbers["gradient_distance"]])
    return row


def _length(numbers: Numbers, exact: Numbers) -> np.ndarray:
    return np.linalg.norm(numbers["weights"] - exact["weights"], axis=1)


def _median(values: list[float]) -> float:
    there = np.array(values)[np.isfinite(values)]
    return float(np.median(there)) if there.size > len(values) / 2 else float("nan")


def draw_figures(found: Found, table: list[Row]) -> dict[str, plotting.Picture]:
    """Return a figure of the distance to the equilibrium over iterations, of gradient and of mirror steps."""
    labels = [objective for objective in OBJECTIVES if any(label.startswith(objective) for label in found)]
    styles = plotting.styles({label: label for label in labels})
    places = [place for place in PLACES if any(label.endswith(f", {place.environment}") for label in found)]
    above: list[Chart] = []
    below: list[Chart] = []
    for place in places:
        marks: dict[str, list[Line]] = {"gradient": [], "mirror": []}
        for label in labels:
            numbers = found.get(f"{label}, {place.environment}", {})
            for step, lines in marks.items():
                if f"{step}_time" in numbers:
                    middle = np.median(numbers[f"{step}_distance"], axis=0)
                    shown = np.where(middle > 1e-14, middle, np.nan)
                    lines.append(Line(numbers[f"{step}_time"], shown, styles[label], OBJECTIVES[label]))
        y = Axis("" if above else "distance to the equilibrium", log=True)
        above.append(
            Chart(place.environment, marks["gradient"], Axis("iterations, gradient steps", log=True), y)
        )
        if marks["mirror"]:
            below.append(Chart("", marks["mirror"], Axis("iterations, mirror steps"), y))
        else:
            below.append(Chart("an action: no mirror steps", []))
    heading = "median over instances of the distance, ½ Σ |w − w*|; linear: of the actions"
    return {"endings": plotting.figure([above, below], heading, size=(2.6 * len(places) + 0.6, 5.4))}


def findings(found: Found, table: list[Row]) -> str:
    """Return the table of objectives in environments, with an explanation of its columns."""
    lines = [f"| environment | objective | {' | '.join(SHOWN.values())} |", "|---" * (len(SHOWN) + 2) + "|"]
    for row in table:
        cells = [row["environment"], row["objective"], *(_cell(row, name) for name in SHOWN)]
        lines.append(f"| {' | '.join(cells)} |")
    said = (
        "Four columns are means over instances: the share gained, (U − U₀) / (U* − U₀), the blind-spot mass, "
        "the distance from the equilibrium of exact foresight, and the share of equilibria that attract. "
        "They attract under mirror steps of the recipe's length, in linear under gradient steps. The search "
        "begins at the first policy, in linear at the last policy of a run. If it finds no equilibrium, the "
        "end of a run takes its place. A run is at rest if its residual is below 10⁻³. The other numbers are "
        "medians. The first are the spectral radius, the factor by which a mirror step shrinks the distance, "
        "and the distance after all mirror steps. Then come the distances after as many gradient steps as "
        "the recipe has, and after ten times as many. The last is the power k of the time by which this "
        "distance falls in between. Distances are ½ Σ |w − w*|, in linear |θ − θ*|."
    )
    return "\n\n".join(["\n".join(lines), said])


def _cell(row: Row, name: str) -> str:
    value = row.get(name, NONE)
    if isinstance(value, float) and not np.isfinite(value):
        return NONE
    if name in ("found", "resting"):
        return f"{value} of {row['instances']}"
    if not isinstance(value, float):
        return str(value)
    if name.endswith(("_end", "_later")):
        return f"{value:.0e}"
    return f"{value:z.{4 if name in ('radius', 'mirror_rate') else 2}f}"


EXPERIMENT = Study(
    name="endings",
    claim=(
        "From the first policy each objective comes to rest at an equilibrium. This study says how good it "
        "is, whether it attracts, and how fast runs of gradient and of mirror steps approach it."
    ),
    pieces=tuple(
        part(place, objective, INSTANCES)
        for places in (PLACES[:-1], PLACES[-1:])
        for objective in OBJECTIVES
        for place in places
    ),
    figures=draw_figures,
    rows=rows,
    findings=findings,
    small=tuple(part(place._replace(settling=80), "myopic", 2) for place in PLACES[3:4]),
)
