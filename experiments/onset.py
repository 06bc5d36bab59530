"""Claim: a collapse shows in what a practitioner can compute, in part before it begins."""

from collections.abc import Callable

import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.core.wording import NONE, with_interval
from fpo_jax.experiments.study.experiment import Found, Row, Study
from fpo_jax.experiments.study.monitored import Place, part
from fpo_jax.experiments.study.onset import FALSE_ALARMS, MONITORED, Judged, judged, runs_of, standardised
from fpo_jax.monitors import MONITORS
from fpo_jax.plotting import Axis, Chart, HeatMap, Level, Line, Mark
from fpo_jax.statistics import FALL, Interval, alarms, auc, threshold_at

LABELS = 32
"""Labels paid for at each update."""
RUNS = 1024
BANDIT = {"environment": "bandit", "ordinary": 60, "planted": 1, "policy_lr": 0.3, "steps": 800}
DEEP = {"alpha": (0.1, 0.6), "planted_style_low": (1.0, 1.5), "planted_style_high": (1.5, 2.5)}
SHARE, RIDGE = {"alpha": (0.05, 0.6)}, {"ridge": (0.003, 0.3)}
PROCESS = {"label_budget": LABELS, "steps": 300}
PLACES = (
    Place("bandit", {**BANDIT, "label_budget": LABELS}, DEEP, RIDGE, 10),
    Place(
        "gridworld",
        {**PROCESS, "environment": "gridworld", "decoys": 1, "policy_lr": 5.0},
        SHARE,
        RIDGE,
        5,
    ),
    Place(
        "contextual",
        {**PROCESS, "environment": "contextual", "feedback": "labels"},
        SHARE,
        {"ridge": (0.001, 0.1)},
        5,
    ),
)
"""Where about as many runs collapse as do not; the settings were chosen on seeds 5000 to 5063."""
SHARES = (0.5, 0.6, FALL, 0.8, 0.9)
"""Shares of the running peak at which an onset is looked for."""
TITLES = {"kl": "KL to the start"} | {name: name.replace("_", " ") for name in MONITORS}
"""What monitors are called."""


def rows(found: Found) -> list[Row]:
    """Return every monitor at every place."""
    table: list[Row] = []
    for label, monitors in judged(found).items():
        runs = runs_of(found[label], chosen=False)
        counts = {"fell": int(runs.fell.sum()), "healthy": int(runs.healthy.sum()), "runs": len(runs.gained)}
        for name, one in monitors.items():
            row: Row = {"place": label, "monitor": name, **counts}
            table.append(row | _columns("at_onset", one.at_onset) | _columns("at_end", one.at_end))
            for threshold, at in (("by_time", one.by_time), ("own", one.own), ("others", one.others)):
                if at is not None:
                    for field, interval in at._asdict().items():
                        table[-1] |= _columns(f"{threshold}_{field}", interval)
    return table


def _columns(name: str, interval: Interval) -> Row:
    return {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}


def draw_figures(found: Found) -> dict[str, plotting.Picture]:
    """Return areas, what alarms are worth, two seeds with the best monitor, and other shares of the peak."""
    results = judged(found)
    return {
        "auc": _maps(
            results,
            {
                "AUC by the onset, at the same iteration": lambda one: one.at_onset.mean,
                "AUC by the end of the run": lambda one: one.at_end.mean,
            },
            "how well each monitor tells runs that fall from healthy ones",
        ),
        "alarms": _maps(
            results,
            {
                "by iteration: in time": lambda one: one.by_time.in_time.mean,
                "false alarms": lambda one: one.by_time.false_alarms.mean,
                "others' threshold: in time": lambda one: _others(one, "in_time"),
                "false alarms ": lambda one: _others(one, "false_alarms"),
            },
            "share of falls with an alarm by their onset, and of healthy runs with one",
        ),
        "seeds": _seeds(found, results),
        "shares": _shares(found),
    }


def _others(one: Judged, field: str) -> float:
    return float("nan") if one.others is None else getattr(one.others, field).mean


Results = dict[str, dict[str, Judged]]


def _maps(results: Results, columns: dict[str, Callable[[Judged], float]], heading: str) -> plotting.Picture:
    labels, names = [*results], [name for name in MONITORED if any(name in of for of in results.values())]
    x = Axis(ticks={float(i): label.replace(", ", ",\n") for i, label in enumerate(labels)})
    y = Axis(ticks={float(i): TITLES[name] for i, name in enumerate(names)}, limits=(len(names) - 0.5, -0.5))
    charts = []
    for title, read in columns.items():
        values = [
            [read(results[label][name]) if name in results[label] else np.nan for label in labels]
            for name in names
        ]
        map_ = HeatMap(
            np.arange(len(labels)), np.arange(len(names)), np.array(values), (0.0, 1.0), "Blues", written=True
        )
        charts.append(Chart(title, [map_], x, y))
    size = 2.2 + len(charts) * (0.75 * len(labels) + 0.4), 1.6 + 0.3 * len(names)
    return plotting.figure([charts], heading, size=size, share="y")


def best(results: Results) -> str:
    """Return the monitor with the largest mean AUC by the onset, of those that are everywhere."""
    names = [name for name in MONITORED if all(name in of for of in results.values())]
    return max(names, key=lambda name: np.mean([of[name].at_onset.mean for of in results.values()]))


def _seeds(found: Found, results: Results) -> plotting.Picture:
    """Draw the best monitor beside a run that fell and a healthy one, those of median onset and end."""
    name = best(results)
    above: list[Chart] = []
    below: list[Chart] = []
    label = max(results, key=lambda one: results[one][name].by_time.in_time.mean)
    runs, choosing = (runs_of(found[label], chosen=chosen) for chosen in (False, True))
    calm = choosing.monitors[name][choosing.healthy]
    threshold = threshold_at(FALSE_ALARMS, standardised(calm, calm)[:, -1])
    values = standardised(runs.monitors[name], calm)
    at = alarms(values, threshold)
    fell = _median(np.where(np.isfinite(at) & (at <= runs.began), runs.began, np.nan))
    healthy = _median(np.where(runs.healthy & np.isnan(at), runs.gained[:, -1], np.nan))
    for run, title in ((fell, "a run that falls"), (healthy, "a healthy one")):
        marks: list[Mark] = [
            Level(float(runs.time[int(one[run])]), said, style, vertical=True)
            for one, said, style in (
                (at, "alarm", plotting.Style(plotting.MARKED)),
                (runs.began, "onset", plotting.NEUTRAL),
            )
            if np.isfinite(one[run])
        ]
        time = Axis("iterations", log=True)
        gained = Line(runs.time[1:], runs.gained[run][1:], plotting.EXACT, "share gained")
        shown = Line(runs.time[1:], values[run][1:], plotting.RLHF, f"{TITLES[name]}, highest so far")
        above.append(Chart(title, [gained, *marks], time, Axis("share gained")))
        below.append(
            Chart(
                "", [shown, Level(threshold, "threshold"), *marks], time, Axis("deviations from healthy runs")
            )
        )
    return plotting.figure([above, below], f"{label}: {TITLES[name]}", size=(8.5, 5.2))


def _median(values: np.ndarray) -> int:
    """Return the run whose value is the middle one."""
    order = np.argsort(values)
    return int(order[int(np.isfinite(values).sum()) // 2])


def _shares(found: Found) -> plotting.Picture:
    names = [name for name in MONITORED if all(name in numbers for numbers in found.values())]
    styles = plotting.ladder_styles([TITLES[name] for name in names])
    lines: list[Mark] = []
    number = []
    for name in names:
        areas = [
            np.nanmean(
                [auc(*runs_of(numbers, False, share).at_onset(name)).mean for numbers in found.values()]
            )
            for share in SHARES
        ]
        lines.append(
            Line(np.array(SHARES), np.array(areas), styles[TITLES[name]], TITLES[name], markers=True)
        )
    grey = plotting.variants(plotting.NEUTRAL, len(found))
    for (label, numbers), style in zip(found.items(), grey, strict=True):
        counted = [runs_of(numbers, False, share).fell.mean() for share in SHARES]
        number.append(Line(np.array(SHARES), np.array(counted), style, label, markers=True))
    x = Axis("share of the running peak")
    charts = [
        Chart("mean AUC by the onset", lines, x, Axis(limits=(0.0, 1.0))),
        Chart("runs that fall, as a share", number, x, Axis(limits=(0.0, 1.0))),
    ]
    return plotting.figure([charts], "where the onset is looked for", size=(10.5, 4.2))


def findings(found: Found) -> str:
    """Return the table of monitors at places, and what its columns are."""
    head = [
        "place", "monitor", "AUC by the onset", "AUC by the end", "in time", "detected",
        "lead, iterations", "lead, nats", "false alarms", "one threshold: in time", "false alarms",
        "others' threshold: in time", "false alarms",
    ]  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for label, monitors in judged(found).items():
        runs = runs_of(found[label], chosen=False)
        place = f"{label}: {runs.fell.sum()} fell, {runs.healthy.sum()} healthy"
        ranked = sorted(monitors.items(), key=lambda item: -item[1].at_onset.mean)
        for name, one in ranked:
            cells = [place, TITLES[name], _written(one.at_onset, 2), _written(one.at_end, 2)]
            cells += [_written(one.by_time.in_time, 2), _written(one.by_time.detected, 2)]
            cells += [_written(one.by_time.lead, 0), _written(one.by_time.lead_kl, 2)]
            cells.append(_written(one.by_time.false_alarms, 2))
            for at in (one.own, one.others):
                if at is None:
                    cells += [NONE, NONE]
                else:
                    cells += [_written(at.in_time, 2), _written(at.false_alarms, 2)]
            lines.append(f"| {' | '.join(cells)} |")
            place = ""
    said = (
        "AUC: the probability that a monitor has been higher in a run that falls than in a healthy one, by "
        "the onset of the former and the same iteration of the latter, or by the end of both; intervals of "
        "DeLong. An alarm is a monitor above a threshold that lets "
        f"{FALSE_ALARMS:.0%} of healthy runs give one, of other seeds than those that are judged. First, the "
        "monitor is in standard deviations over healthy runs of these seeds at the same iteration; then one "
        "threshold for all iterations; then one that the other environments chose together. In time: falls "
        "with an alarm by their onset; detected: with one at all; Wilson's intervals. Lead: from alarm to "
        "onset, of those that are detected, below 0 where the alarm is late; interquartile means."
    )
    return "\n\n".join(["\n".join(lines), said])


def _written(interval: Interval, digits: int) -> str:
    if not np.isfinite(interval.mean):
        return NONE
    return with_interval(interval.mean, interval.low, interval.high, digits)


EXPERIMENT = Study(
    name="onset",
    claim=(
        "Which of the numbers that a practitioner has tell a run that collapses from a healthy one of the "
        "same objective in the same environment, how early, and at how many false alarms."
    ),
    pieces=tuple(part(place, RUNS) for place in PLACES),
    figures=draw_figures,
    rows=rows,
    findings=findings,
    small=tuple(part(place, 8) for place in PLACES[:1]),
)
