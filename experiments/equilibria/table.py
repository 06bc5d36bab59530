"""The table of equilibria, as numbers and as text."""

from collections import Counter
from typing import Any

import numpy as np

from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.core.wording import NONE, folded, table, with_interval
from fpo_jax.experiments.equilibria.result import MEASURES, Equilibria
from fpo_jax.statistics import mean_interval

NAMED = 10
"""A warning names at most this many seeds."""
KINDS = ("maximum", "minimum", "saddle", "flat")


def rows(found: Equilibria) -> list[dict[str, Any]]:
    """Return one row for each objective and start: means over instances with 95 % intervals.

    The largest stable step is a median. Numbers that are undefined are None. `not_reached` lists the
    instances without an equilibrium, which the means exclude.
    """
    with in_precision(found.settings.precision):  # the means, too
        return [_row(found, name, start) for name in found.reached for start in range(len(found.starts))]


def _row(found: Equilibria, objective: str, start: int) -> dict[str, Any]:
    one = found.reached[objective]
    row: dict[str, Any] = {"objective": objective, "start": found.starts[start]}
    values = {name: one.values(name)[:, start] for name in MEASURES}
    values |= {"share_gained": found.gained(objective)[:, start]}
    values |= {name: one.values(name)[:, start] for name in ("to_optimal", "to_best")}
    for name, numbers in values.items():
        estimate = mean_interval(numbers)
        row[name] = _number(estimate.mean)
        row[f"{name}_ci95"] = [_number(estimate.low), _number(estimate.high)]
    steps = one.values("step")[:, start]
    row["largest_stable_step"] = (
        _number(np.median(steps[np.isfinite(steps)])) if np.isfinite(steps).any() else None
    )
    kinds = Counter(p.found.second_order for p in (r[start] for r in one.points) if p.found is not None)
    row["second_order"] = {kind: kinds[kind] for kind in KINDS if kinds[kind]}
    row["multiplicity"] = float(np.mean(one.multiplicity))
    row["multiplicity_most"] = int(np.max(one.multiplicity))
    failed = [p for p in one.failures if p.start == start]
    row["instances"] = len(one.points) - len(failed)
    row["not_reached"] = [
        {"seed": found.settings.seed + p.seed, "residual": _number(p.residual), "reason": p.reason}
        for p in failed
    ]
    return row


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def unreached(found: Equilibria) -> list[str]:
    """Return a warning for each objective and start whose search failed on some instances."""
    told = []
    for label, one in found.reached.items():
        for start, name in enumerate(found.starts):
            failed = [point for point in one.failures if point.start == start]
            if failed:
                seeds = ", ".join(str(one.settings.seed + point.seed) for point in failed[:NAMED])
                more = f" and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
                told.append(
                    f"{label} from {name}: no equilibrium reached on {len(failed)} of {len(one.points)} "
                    f"instances, which are excluded: seed {seeds}{more}; the first: {failed[0].reason}"
                )
    return told


def ideals(found: Equilibria) -> dict[str, Any]:
    """Return the mean true utilities of `Ideals` over instances, as `true_utility_…`; None if undefined."""
    with in_precision(found.settings.precision):
        means = {name: mean_interval(values).mean for name, values in found.ideals._asdict().items()}
    return {f"true_utility_{name}": _number(mean) for name, mean in means.items()}


def cells(row: dict[str, Any]) -> dict[str, str]:
    """Return a row as text by column title."""

    def cell(name: str, form: str) -> str:
        return NONE if row[name] is None else format(row[name], form)

    low, high = (np.nan if end is None else end for end in row["true_utility_ci95"])
    utility = NONE if row["true_utility"] is None else with_interval(row["true_utility"], low, high)
    kinds = ", ".join(f"{kind} {number}" for kind, number in row["second_order"].items())
    only = next(iter(row["second_order"]), NONE) if len(row["second_order"]) < 2 else kinds
    return {
        "objective": row["objective"],
        "from": row["start"],
        "utility": utility,
        "gained": cell("share_gained", ".3f"),
        "proxy": cell("proxy_reward", ".3f"),
        "blind spot": cell("blind_spot_mass", "z.3f"),
        "residual": cell("residual", ".0e"),
        "radius": cell("spectral_radius", ".4f"),
        "stable": cell("stable", ".2f"),
        "step": cell("largest_stable_step", ".3g"),
        "steering": cell("steering_norm", ".4f"),
        "kind": only,
        "found": f"{row['multiplicity']:.3g}",
        "to optimal": cell("to_optimal", ".3f"),
        "to best": cell("to_best", ".3f"),
        "n": str(row["instances"]),
    }


def show(found: Equilibria) -> str:
    """Return the table as text, with its legend below."""
    shown = [cells(row) for row in once(rows(found))]
    return f"{table([*shown[0]], [[*row.values()] for row in shown])}\n{folded(legend(found), 0)}"


def once(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge the rows of an objective into one if all its starts lead to one equilibrium on each instance."""
    kept = []
    for row in table:
        own = [other for other in table if other["objective"] == row["objective"]]
        if len(own) > 1 and row["multiplicity_most"] == 1 and not any(other["not_reached"] for other in own):
            if row is own[0]:
                kept.append(row | {"start": "each start"})
        else:
            kept.append(row)
    return kept


def legend(found: Equilibria) -> str:
    """Return one sentence that explains the columns."""
    told = ideals(found)
    best, optimal, first, optimum = (
        NONE if told[f"true_utility_{name}"] is None else f"{told[f'true_utility_{name}']:.3f}"
        for name in ("best", "optimal", "first", "optimum")
    )
    distances = "|Δθ|" if found.is_action else "total variation of the policy"
    return (
        f"means over n instances; gained: share of the gain from the first policy, {first}, to the optimum, "
        f"{optimum}; stable: share with spectral radius below 1; step: largest stable policy_lr, median; "
        "found: equilibria on an instance, from all starts; to optimal: distance from the performatively "
        f"optimal equilibrium, utility {optimal}; to best: distance from the policy with the highest "
        f"E[U] − cost, utility {best}; distances: {distances}"
    )
