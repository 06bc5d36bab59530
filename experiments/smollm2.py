"""Claim: what RLHF and FPO do to a language model that speaks, SmolLM2-135M-Instruct, on two cores."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.core.wording import with_interval
from fpo_jax.experiments.llm.evaluation.repetition import repetition
from fpo_jax.experiments.llm.figures import OBJECTIVE_OF
from fpo_jax.experiments.llm.run_part import ModelRun
from fpo_jax.experiments.report.parts import markdown_table, share
from fpo_jax.experiments.study.experiment import Found, Numbers, Row, Study
from fpo_jax.plotting import Axis, Chart, Level, Line, Mark
from fpo_jax.statistics import Interval, mean_interval

STEPS, FIT_PROMPTS = 200, 100
WINDOW = 50
"""Steps at the end over which means are taken, and over which lines are smoothed."""
EXAMPLES = 3
"""Last prompts whose winners are shown."""
COMMON = {"model": "smollm2-135m", "precision": "float32", "devices": 1, "every": 20}
MOVED = {"policy_lr": 2e-4, "head_lr": 5e-4}
"""Ten times the published rates."""
RATES: dict[str, dict[str, Any]] = {
    "ten times": MOVED,
    "published": {},
    "fast": {**MOVED, "policy_lr": 1e-3},
}
TITLES = {
    "ten times": "ten times the published rates",
    "published": "the published rates",
    "fast": "fifty times the published rate of the policy",
    "calibrated": "calibrated weight",
    "weight 10": "weight 10",
}
"""What rates and weights are called."""
WEIGHTS: dict[str, dict[str, Any]] = {"calibrated": {"calibrated": True}, "weight 10": {}}
CONTROL = "one answer"
"""RLHF with a single candidate, so that no reward has a part in what the policy learns."""
MODES: dict[str, dict[str, Any]] = {CONTROL: {"mode": "rlhf", "candidates": 1, "fit_prompts": 0}}
"""Modes that are more than an option of this name."""
UNWEIGHTED = ("rlhf", CONTROL)
"""Modes without a penalty."""


class Group(NamedTuple):
    """Runs that differ by their mode alone, RLHF first.

    Attributes:
        rates, weight: what they have in common.
        others: their modes but RLHF.
    """

    rates: str
    weight: str
    others: tuple[str, ...]

    @property
    def title(self) -> str:
        """Say what they have in common."""
        return f"{TITLES[self.rates]}, {TITLES[self.weight]}"

    @property
    def file(self) -> str:
        """Return the name of its figure."""
        return f"{self.rates}_{self.weight}".replace(" ", "_")

    @property
    def runs(self) -> dict[str, str]:
        """Return the labels of its runs, by mode; without a penalty there is no weight."""
        return {
            mode: f"{self.rates}, {mode}{'' if mode in UNWEIGHTED else f', {self.weight}'}"
            for mode in ("rlhf", *self.others)
        }

    def settings(self, mode: str) -> dict[str, Any]:
        """Return what is not the default of a run."""
        weight = {} if mode in UNWEIGHTED else WEIGHTS[self.weight]
        return {**COMMON, **MODES.get(mode, {"mode": mode}), **RATES[self.rates], **weight}


PENALTIES = ("practical", "relaxed", "proximal")
MOVING = Group("ten times", "calibrated", (*PENALTIES, "leverage", CONTROL))
PUBLISHED = Group("published", "weight 10", PENALTIES)
PUBLISHED_CALIBRATED = Group("published", "calibrated", PENALTIES)
GROUPS = (MOVING, PUBLISHED, PUBLISHED_CALIBRATED)
UNMOVED = PUBLISHED.runs["rlhf"]
"""RLHF at the published rates, whose policy hardly moves: the base model, with the chance of other draws."""
SHORT = Group("fast", "calibrated", ("practical", "relaxed"))
"""The group of the small form, in which a few steps move the policy."""
ALL = (*GROUPS, SHORT)


def _runs(groups: Sequence[Group], **more: Any) -> tuple[ModelRun, ...]:
    """Return the runs of some groups, each once; the heads are fitted on the answers of the first."""
    runs: dict[str, ModelRun] = {}
    for group in groups:
        for mode, label in group.runs.items():
            settings = {**more, **group.settings(mode)}
            first = next(iter(runs), "") if settings["fit_prompts"] else ""
            runs.setdefault(label, ModelRun(label, settings, first))
    return tuple(runs.values())


def gained(numbers: Numbers, name: str = "utility") -> np.ndarray:
    """Return U, or r, of the policy less the base model's: at each step the candidates' mean less z_ref's."""
    return numbers[f"mean_{name}"][0] - numbers[f"reference_{name}"][0]


MEASURES = {
    "U gained": gained,
    "r gained": lambda numbers: gained(numbers, "reward"),
    "log π_θ/π_ref": lambda numbers: numbers["kl"][0],
    "overruled": lambda numbers: numbers["overruled"][0],
    "accuracy": lambda numbers: numbers["on_policy_accuracy"][0],
    "repeated": lambda numbers: np.array([repetition(text.split()) for text in numbers["winner"][0]]),
}
"""What is measured at each step, by its name in the table."""
RLHFS, UNMOVEDS = "RLHF's", "the unmoved policy's"
OF_POLICY = (
    *("U gained", f"U less {UNMOVEDS}", f"U less {RLHFS}"),
    *("r gained", "log π_θ/π_ref", "repeated"),
)
OF_WINNERS = ("overruled", f"winner's U less {RLHFS}", "accuracy")
"""Columns of the two tables."""
OF_CONTROL = ("U gained", "log π_θ/π_ref", "repeated")
"""Measures that the control has, too. All others need its reward head, which is not fitted."""


def _measures(mode: str) -> Mapping[str, Callable[[Numbers], np.ndarray]]:
    """Return what is measured in a mode."""
    return {name: of for name, of in MEASURES.items() if mode != CONTROL or name in OF_CONTROL}


def _compared(found: Found, group: Group) -> dict[str, Numbers]:
    """Return the runs of a group that are there, by mode; none where there is but one."""
    runs = {mode: found[label] for mode, label in group.runs.items() if label in found}
    return runs if len(runs) > 1 else {}


def rows(found: Found) -> list[Row]:
    """Return what each run comes to over its last steps, and by how much its U differs from RLHF's."""
    table: list[Row] = []
    for group in ALL:
        runs = _compared(found, group)
        for mode, numbers in runs.items():
            row: Row = {"group": group.title, "mode": mode}
            row["weight"] = float("nan") if mode in UNWEIGHTED else float(numbers["weight"][0])
            for name, measure in _measures(mode).items():
                row |= _told(name, mean_interval(measure(numbers)[-WINDOW:]))
            for than, other in _others(found, group, mode).items():
                for name, of in (("U", "mean_utility"), ("winner's U", "true_utility")):
                    row |= _told(f"{name} less {than}", mean_interval((numbers[of] - other[of])[0, -WINDOW:]))
            if "held_out_accuracy" in numbers:
                row["held out"] = float(numbers["held_out_accuracy"][0, -1])
            row["seconds a step"] = float(numbers["seconds_per_step_median"][0])
            table.append(row)
    return table


def _others(found: Found, group: Group, mode: str) -> dict[str, Numbers]:
    """Return the runs on the same prompts that a run is compared with, by whose they are."""
    others: dict[str, Numbers] = {}
    if mode != "rlhf" and group.runs["rlhf"] in found:
        others[RLHFS] = found[group.runs["rlhf"]]
    if group.rates != PUBLISHED.rates and UNMOVED in found:
        others[UNMOVEDS] = found[UNMOVED]
    return others


def _window(runs: Mapping[str, Numbers]) -> int:
    """Return over how many prompts means are taken: `WINDOW`, or all that there are."""
    return min(WINDOW, *(numbers["kl"].shape[1] for numbers in runs.values()))


def _told(name: str, interval: Interval) -> Row:
    return {name: interval.mean, f"{name}, low": interval.low, f"{name}, high": interval.high}


def _smooth(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return steps, and the mean of the last `WINDOW` at each; fewer at the start."""
    total, steps = np.cumsum(np.insert(values, 0, 0.0)), np.arange(1, len(values) + 1)
    first = np.maximum(steps - WINDOW, 0)
    shown = slice(max(min(WINDOW, len(values)) // 5 - 1, 0), None)  # means of few prompts are noise
    return steps[shown] - 1.0, ((total[steps] - total[first]) / (steps - first))[shown]


CHARTS = {
    "U gained": "U of the policy less the base model's",
    "r gained": "r of the policy less the base model's",
    "log π_θ/π_ref": "log π_θ − log π_ref (nats)",
    "overruled": "winners that the penalty changed",
    "accuracy": "pairs that r orders as U does",
}


def draw_figures(found: Found, table: list[Row]) -> dict[str, plotting.Picture]:
    """Return one figure of each group: what happens over the steps."""
    drawn: dict[str, plotting.Picture] = {}
    for group in ALL:
        runs = _compared(found, group)
        if not runs:
            continue
        styles = plotting.styles({mode: OBJECTIVE_OF.get(mode, mode) for mode in runs if mode != CONTROL})
        styles[CONTROL] = plotting.NEUTRAL
        charts = []
        for name, title in CHARTS.items():
            marks: list[Mark] = [Level(0.5 if name == "accuracy" else 0.0)] if name != "overruled" else []
            for mode, numbers in runs.items():
                if name in _measures(mode):
                    x, y = _smooth(MEASURES[name](numbers))
                    marks.append(Line(x, y, styles[mode], mode))
            charts.append(Chart(title, marks, Axis("prompt")))
        heading = f"SmolLM2-135M, {group.title}: means of the last {_window(runs)} prompts"
        drawn[group.file] = plotting.figure([charts], heading, size=(13.0, 3.2), share="")
    return drawn


def findings(found: Found, table: list[Row]) -> str:
    """Say in Markdown what each run came to, and what won at the last prompts."""
    told = []
    for group in ALL:
        own = [row for row in table if row["group"] == group.title]
        if not own:
            continue
        last = _window(_compared(found, group))
        of_policy = [["mode", *OF_POLICY]]
        of_policy += [[row["mode"], *(_cell(row, name) for name in OF_POLICY)] for row in own]
        of_winners = [["mode", "weight", *OF_WINNERS, "held out"]]
        for row in own:
            weight = "–" if row["mode"] in UNWEIGHTED else f"{row['weight']:.3g}"
            held_out = share(row["held out"]) if "held out" in row else "–"
            cells = [_cell(row, name) for name in OF_WINNERS]
            of_winners.append([row["mode"], weight, *cells, held_out])
        told += [f"{group.title}, means over the last {last} prompts. The policy:", _table(of_policy)]
        told += ["The reward head and what wins:", _table(of_winners)]
        told.append(_about(_compared(found, group)))
        told += ["The last prompts and what won:", _examples(found, group)]
    return "\n\n".join(told)


def _table(lines: list[list[str]]) -> str:
    """Return a table without columns that are empty throughout."""
    kept = [i for i in range(len(lines[0])) if any(line[i] != "–" for line in lines[1:])]
    head, *body = ([line[i] for i in kept] for line in lines)
    return markdown_table(head, body)


def _about(runs: Mapping[str, Numbers]) -> str:
    """Say how good the reward head was before the loop, how far U spreads, and how long the runs took."""
    first = next(iter(runs.values()))
    drawn, fitted = (float(first[f"held_out_accuracy_{name}"][0]) for name in ("drawn", "fitted"))
    spread = np.mean([of["utility_spread"].mean() for mode, of in runs.items() if mode != CONTROL])
    minutes = [float(numbers["seconds"][0]) / 60 for numbers in runs.values()]
    return (
        f"Of held-out pairs the drawn head orders {share(drawn)} as the oracle does, the fitted one "
        f"{share(fitted)}. The mean standard deviation of U among the candidates for a prompt is "
        f"{spread:.2f}. The shortest run took {min(minutes):.0f} min, the longest {max(minutes):.0f}."
    )


def _cell(row: Row, name: str) -> str:
    if not np.isfinite(row.get(name, np.nan)):
        return "–"
    return with_interval(row[name], row[f"{name}, low"], row[f"{name}, high"], 2)


def _examples(found: Found, group: Group) -> str:
    runs = _compared(found, group)
    first = next(iter(runs.values()))
    head = ["prompt", "base model", *runs]
    columns = [first["prompt"][0], first["reference"][0], *(run["winner"][0] for run in runs.values())]
    body = [[str(column[i]) for column in columns] for i in range(-EXAMPLES, 0)]
    return markdown_table(head, body)


EXPERIMENT = Study(
    name="smollm2",
    claim=(
        "RLHF and four forms of FPO on SmolLM2-135M-Instruct: one prompt a step, "
        "the winner of eight candidates, a reward head fitted on the base model's answers, the published "
        "likelihood oracle; the same prompts and draws in every mode. Needs the extra llm and "
        "`fpo-jax fetch smollm2-135m`."
    ),
    pieces=_runs(GROUPS, steps=STEPS, fit_prompts=FIT_PROMPTS),
    figures=draw_figures,
    rows=rows,
    findings=findings,
    small=_runs([SHORT], steps=12, fit_prompts=8),
)
