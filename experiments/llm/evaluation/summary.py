"""Summary of an evaluation: means, differences on the same prompts, and means over seeds, with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fpo_jax.experiments.core.wording import NONE, fixed, table
from fpo_jax.experiments.llm.evaluation.policies import BASE, Policy
from fpo_jax.experiments.llm.evaluation.repetition import within_prompts
from fpo_jax.statistics import Interval, mean_interval, paired_difference, share_interval

MEASURES = {
    "mc1": "MC1",
    "mc2": "MC2",
    "identical": "identical",
    "utility": "U",
    "drawn_utility": "U, drawn",
    "kl": "KL",
    "kl_per_token": "KL a token",
    "length": "length",
    "repetition": "repetition",
}
"""Measures and their names in tables; all are defined at every prompt, except the divergence for each
token.
"""
OF_ALL = ("mc1", "mc2", "utility", "drawn_utility", "length", "repetition")
"""Measures that the base model has as well."""
SHARES = ("mc1", "identical")
"""Measures that are 0 or 1 at a prompt, so that their interval is Wilson's."""
LEGEND = (
    "MC1, MC2: TruthfulQA, by likelihood; identical: share of greedy answers that are the base model's; U: "
    "the likelihood oracle's, of greedy answers; U, drawn: of answers drawn at temperature 1; KL: from the "
    "base model, of the first {tokens} tokens of an answer, in nats; length: tokens of greedy answers; "
    "repetition: share of their {n}-grams that came before; [ ]: 95 % intervals over prompts"
)


class Measured(NamedTuple):
    """The results of an evaluation.

    Attributes:
        policies: in the order of the models; the base model comes before them.
        values: measures, [model, prompt] each; NaN where undefined.
        drawn_length: [model] mean number of tokens of the answers for the divergence.
        candidates: `utility`, `repetition` and `length` of the base model's candidates, [prompt, candidate].
        prompts: the answered prompts.
        answers: the greedy answer of each model to each of them.
    """

    policies: Sequence[Policy]
    values: Mapping[str, np.ndarray]
    drawn_length: np.ndarray
    candidates: Mapping[str, np.ndarray]
    prompts: Sequence[str]
    answers: Sequence[Sequence[str]]

    @property
    def names(self) -> list[str]:
        """Return the names of all models, the base model's first."""
        return [BASE, *(policy.name for policy in self.policies)]


def report(measured: Measured) -> dict[str, Any]:
    """Return all figures: `means`, `differences`, `over_seeds`, and `repetition` among candidates."""
    correlations = {
        f"utility_{name}": within_prompts(measured.candidates["utility"], measured.candidates[name])
        for name in ("repetition", "length")
    }
    return {
        "models": measured.names,
        "prompts": len(measured.prompts),
        "questions": measured.values["mc1"].shape[1] if "mc1" in measured.values else 0,
        "means": means(measured),
        "differences": differences(measured),
        "over_seeds": over_seeds(measured),
        "candidates": correlations,
    }


def _row(found: Interval) -> dict[str, Any]:
    """Return an interval for JSON, with None for undefined values."""
    values = {"mean": found.mean, "low": found.low, "high": found.high}
    return {name: float(v) if np.isfinite(v) else None for name, v in values.items()} | {"n": int(found.n)}


def means(measured: Measured) -> list[dict[str, Any]]:
    """Return the mean of each measure of each model, with its interval over prompts."""
    rows = []
    for name, values in measured.values.items():
        interval = share_interval if name in SHARES else mean_interval
        for model, own in zip(measured.names, values, strict=True):
            if model != BASE or name in OF_ALL:
                rows.append({"model": model, "measure": name} | _row(interval(own)))
    for model, drawn, kl in zip(measured.names, measured.drawn_length, measured.values["kl"], strict=True):
        if model != BASE:  # a ratio of means, which is not defined for a prompt
            whole = {"mean": float(np.mean(kl) / drawn), "low": None, "high": None, "n": len(kl)}
            rows.append({"model": model, "measure": "kl_per_token"} | whole)
    return rows


def differences(measured: Measured) -> list[dict[str, Any]]:
    """Return the differences of each run from the base model and from the first run, on the same prompts."""
    names = measured.names
    pairs = [(one, 0) for one in range(1, len(names))] + [(one, 1) for one in range(2, len(names))]
    rows = []
    for name, values in measured.values.items():
        for one, other in pairs:
            if other or name in OF_ALL:
                found = paired_difference(values[one], values[other]).difference
                rows.append({"model": names[one], "against": names[other], "measure": name} | _row(found))
    return rows


def over_seeds(measured: Measured) -> list[dict[str, Any]]:
    """Return the mean over runs that differ only in their seed, with its interval over seeds.

    Measures that the base model has are differences from the base model.
    """
    groups: dict[Any, list[int]] = {}
    for place, policy in enumerate(measured.policies, 1):
        if policy.without_seed is not None:
            groups.setdefault(policy.without_seed, []).append(place)
    rows = []
    for places in groups.values():
        if len(places) < 2:
            continue
        first = measured.policies[places[0] - 1]
        for name, values in measured.values.items():
            of_runs = values.mean(axis=1)
            less = of_runs[0] if name in OF_ALL else 0.0
            told = {"mode": first.mode, "runs": [measured.names[place] for place in places], "measure": name}
            rows.append(told | _row(mean_interval(of_runs[places] - less)))
    return rows


def cell(row: Mapping[str, Any] | None) -> str:
    """Return a mean with its interval as text."""
    if row is None or row["mean"] is None:
        return NONE
    ends = "" if row["low"] is None else f" [{fixed(row['low'], 3)}, {fixed(row['high'], 3)}]"
    return fixed(row["mean"], 3) + ends


def tables(found: Mapping[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return titles, heads and rows of all tables that show a report."""
    asked = [name for name in MEASURES if any(row["measure"] == name for row in found["means"])]
    head = ["model", *(MEASURES[name] for name in asked)]
    shown = [("", head, _lines(found["models"], asked, found["means"]))]
    for against in dict.fromkeys(row["against"] for row in found["differences"]):
        rows = [row for row in found["differences"] if row["against"] == against]
        models = list(dict.fromkeys(row["model"] for row in rows))
        known = [name for name in asked if any(row["measure"] == name for row in rows)]
        titles = ["model", *(MEASURES[name] for name in known)]
        shown.append((f"less {against}, on the same prompts", titles, _lines(models, known, rows)))
    if found["over_seeds"]:
        rows = [{**row, "model": f"{row['mode']}, {len(row['runs'])} seeds"} for row in found["over_seeds"]]
        models = list(dict.fromkeys(row["model"] for row in rows))
        title = f"over seeds; {', '.join(MEASURES[name] for name in asked if name in OF_ALL)}: less {BASE}"
        shown.append((title, head, _lines(models, asked, rows)))
    return shown


def _lines(
    models: Sequence[str], measures: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> list[list[str]]:
    known = {(row["model"], row["measure"]): row for row in rows}
    return [[model, *(cell(known.get((model, name))) for name in measures)] for model in models]


def of_candidates(found: Mapping[str, Any]) -> str:
    """Return a sentence on whether the oracle rewards repetition among candidates for one prompt."""
    parts = [
        f"{cell(row)} with {name.removeprefix('utility_')} ({row['n']} prompts)"
        for name, row in found["candidates"].items()
    ]
    return f"Spearman's correlation of U among the base model's candidates for a prompt: {'; '.join(parts)}"


def show(found: Mapping[str, Any], legend: str) -> str:
    """Return a report as text."""
    parts = [
        "\n".join([*([f"{title}:"] if title else []), table(head, rows)])
        for title, head, rows in tables(found)
    ]
    return "\n\n".join([*parts, of_candidates(found), legend])
