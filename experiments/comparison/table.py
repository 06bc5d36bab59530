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
    return {name: cell.item() if isinstance(cell, np.generic) else cell for name, cell in row.items()}


def markdown(place: Place, methods: Sequence[Method], trials: Mapping[str, Trial]) -> str:
    """Return the table of a place in Markdown."""
    found = rows(place, methods, trials)
    lines = [f"### {place.label}", "", f"| {' | '.join(TITLES)} |", "|---" * len(TITLES) + "|"]
    for row in found:
        if row["undefined"]:
            cells = [row["method"], row["knows"], "not defined here", *[NONE] * 6]
        else:
            cells = [
                row["method"],
                row["knows"],
                f"{row['value']:g}{' (end)' * row['at_end']}" if row["tuned"] else NONE,
                with_interval(row["gained"], row["gained_low"], row["gained_high"], 2),
                f"{row['worst']:.2f}",
                with_interval(row["collapsed"], row["collapsed_low"], row["collapsed_high"], 2),
                NONE if row["blind_spot_mass"] == "" else f"{row['blind_spot_mass']:.2f}",
                _factor(row["safe_factor"]),
                NONE if row["seconds_over_rlhf"] == "" else f"{row['seconds_over_rlhf']:.1f}",
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _factor(factor: Any) -> str:
    if factor == "":
        return NONE
    return f"{factor:.2g}" if factor else "no value"
