"""The results of a comparison, as rows for a file and as tables to read."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fpo_jax.experiments.comparison.methods import RLHF, Method, Place
from fpo_jax.experiments.comparison.trial import Runs, Trial
from fpo_jax.experiments.core.wording import NONE, with_interval
from fpo_jax.statistics import mean_interval, share_interval

COLUMNS = (
    "place", "method", "knows", "tuned", "value", "at_end", "gained", "gained_low", "gained_high", "worst",
    "regret", "regret_low", "regret_high",
    "collapsed", "collapsed_low", "collapsed_high", "blind_spot_mass", "safe_factor", "seconds_over_rlhf",
    "diverged_tuning", "diverged", "seeds", "tuning_seeds", "undefined",
)  # fmt: skip
TITLES = (
    "method", "knows", "value", "gained", "worst seed", "collapsed", "blind-spot mass", "safe over a factor",
    "time over RLHF",
)  # fmt: skip


def rows(place: Place, methods: Sequence[Method], trials: Mapping[str, Trial]) -> list[dict[str, Any]]:
    """Return a row for each method at a place. Undefined cells are ""."""
    rlhf = trials.get(RLHF.label)
    return [_row(place, method, trials[method.label], rlhf) for method in methods]


def _row(place: Place, method: Method, trial: Trial, rlhf: Trial | None) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS, "") | {
        "place": place.label,
        "method": method.label,
        "knows": method.knows,
        "tuned": method.tuned,
        "undefined": trial.undefined,
    }
    if not trial.defined:
        return row
    judged = Runs(*(np.squeeze(values) for values in trial.judged))
    gained, fell, best = mean_interval(judged.gained), share_interval(judged.collapsed), trial.chosen
    regret = mean_interval(judged.regret) if np.isfinite(judged.regret).all() else None
    cost = judged.seconds / rlhf.judged.seconds if rlhf is not None else np.nan
    row |= {
        "value": trial.values[best] if method.tuned else "",
        "at_end": bool(method.tuned) and best in (0, len(trial.values) - 1),
        "gained": gained.mean,
        "gained_low": gained.low,
        "gained_high": gained.high,
        "worst": judged.gained.min(),
        "collapsed": fell.mean,
        "collapsed_low": fell.low,
        "collapsed_high": fell.high,
        "blind_spot_mass": np.nanmean(judged.blind_spot) if np.isfinite(judged.blind_spot).any() else "",
        "safe_factor": trial.safe_factor() if method.tuned else "",
        "seconds_over_rlhf": cost if np.isfinite(cost) else "",
        "diverged_tuning": int(trial.tuning.diverged),
        "diverged": int(judged.diverged),
        "seeds": judged.gained.size,
        "tuning_seeds": trial.tuning.gained.shape[1],
    }
    if regret is not None:
        row |= {"regret": regret.mean, "regret_low": regret.low, "regret_high": regret.high}
    return {name: cell.item() if isinstance(cell, np.generic) else cell for name, cell in row.items()}


def markdown(place: Place, methods: Sequence[Method], trials: Mapping[str, Trial]) -> str:
    """Return the table of a place in Markdown; regret is a column where it was measured."""
    found = rows(place, methods, trials)
    measured = any(row["regret"] != "" for row in found)
    titles = [*TITLES, *(["regret"] if measured else [])]
    lines = [f"### {place.label}", "", f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in found:
        if row["undefined"]:
            cells = [row["method"], row["knows"], "not defined here", *[NONE] * (len(titles) - 3)]
        else:
            cells = [
                row["method"],
                row["knows"],
                f"{row['value']:g}{' (end)' * row['at_end']}" if row["tuned"] else NONE,
                _with_ends(row, "gained"),
                f"{row['worst']:.2f}",
                _with_ends(row, "collapsed"),
                NONE if row["blind_spot_mass"] == "" else f"{row['blind_spot_mass']:.2f}",
                _factor(row["safe_factor"]),
                NONE if row["seconds_over_rlhf"] == "" else f"{row['seconds_over_rlhf']:.1f}",
                *([_with_ends(row, "regret")] if measured else []),
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _with_ends(row: Mapping[str, Any], name: str) -> str:
    if row[name] == "":
        return NONE
    return with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"], 2)


def _factor(factor: Any) -> str:
    if factor == "":
        return NONE
    return f"{factor:.2g}" if factor else "no value"
