"""Claim: numbers that a practitioner can compute show a collapse, some of them before it begins."""

import numpy as np

from fpo_jax import plotting
from fpo_jax.experiments.core.wording import NONE, with_interval
from fpo_jax.experiments.study.experiment import Found, Row, Study
from fpo_jax.experiments.study.monitored import Place, part
from fpo_jax.experiments.study.onset import FALSE_ALARMS, MONITORED, by_time, judged, runs_of
from fpo_jax.monitors import MONITORS
from fpo_jax.plotting import Axis, Chart, HeatMap, Level, Line, Mark
from fpo_jax.statistics import FALL, Interval, alarms, auc

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
"""Places where about half of the runs collapse. The settings were chosen on seeds 5000 to 5063."""
SHARES = (0.5, 0.6, FALL, 0.8, 0.9)
"""Shares of the running peak that may define an onset."""
TITLES = {"kl": "KL to the start"} | {name: name.replace("_", " ") for name in MONITORS}
"""Titles of the monitors."""


def rows(found: Found) -> list[Row]:
    """Return a row for every monitor at every place."""
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
            table[-1] |= _columns("by_time_at_start", one.at_start)
    return table


def _columns(name: str, interval: Interval) -> Row:
    return {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}


def draw_figures(found: Found, table: list[Row]) -> dict[str, plotting.Picture]:
    """Return figures of AUC, of alarms, of the best monitor on two seeds, and of other shares of the peak."""
    return {
        "auc": _maps(
            table,
            {
                "AUC by the onset, at the same iteration": "at_onset",
                "AUC by the end of the run": "at_end",
            },
            "how well each monitor tells runs that fall from healthy ones",
        ),
        "alarms": _maps(
            table,
            {
                "by iteration: in time": "by_time_in_time",
                "false alarms": "by_time_false_alarms",
                "others' threshold: in time": "others_in_time",
                "false alarms ": "others_false_alarms",
            },
            "share of falls with an alarm by their onset, and of healthy runs with one",
        ),
        "seeds": _seeds(found, table),
        "shares": _shares(found),
    }


def _places(table: list[Row], column: str) -> dict[str, dict[str, float]]:
    """Return a column by label of the place, then by name of the monitor; NaN where it is empty."""
    places: dict[str, dict[str, float]] = {}
    for row in table:
        places.setdefault(row["place"], {})[row["monitor"]] = row.get(column, np.nan)
    return places


def _maps(table: list[Row], columns: dict[str, str], heading: str) -> plotting.Picture:
    labels = [*_places(table, "fell")]
    names = [name for name in MONITORED if any(row["monitor"] == name for row in table)]
    x = Axis(ticks={float(i): label for i, label in enumerate(labels)})
    y = Axis(ticks={float(i): TITLES[name] for i, name in enumerate(names)}, limits=(len(names) - 0.5, -0.5))
    charts = []
    for title, column in columns.items():
        places = _places(table, column)
        values = [[places[label].get(name, np.nan) for label in labels] for name in names]
        map_ = HeatMap(
            np.arange(len(labels)), np.arange(len(names)), np.array(values), (0.0, 1.0), "Blues", written=True
        )
        charts.append(Chart(title, [map_], x, y))
    size = 2.2 + len(charts) * (0.75 * len(labels) + 0.4), 1.6 + 0.3 * len(names)
    return plotting.figure([charts], heading, size=size, share="y")


def best(table: list[Row]) -> str:
    """Return the monitor with the largest mean AUC by the onset, among those defined at every place."""
    places = _places(table, "at_onset").values()
    names = [name for name in MONITORED if all(name in of for of in places)]
    return max(names, key=lambda name: np.mean([of[name] for of in places]))


def _seeds(found: Found, table: list[Row]) -> plotting.Picture:
    """Draw the best monitor for a run that fell and for a healthy one.

    Among the runs detected in time it takes the one with the median onset; among the healthy runs without an
    alarm, the one with the median end.
    """
    name = best(table)
    above: list[Chart] = []
    below: list[Chart] = []
    in_time = _places(table, "by_time_in_time")
    label = max(in_time, key=lambda one: in_time[one][name])
    runs, choosing = (runs_of(found[label], chosen=chosen) for chosen in (False, True))
    values, threshold = by_time(runs, choosing, name)
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
    """Return the index of the run with the median value, ignoring NaN."""
    order = np.argsort(values)
    return int(order[int(np.isfinite(values).sum()) // 2])


def _shares(found: Found) -> plotting.Picture:
    names = [name for name in MONITORED if all(name in numbers for numbers in found.values())]
    styles = plotting.ladder_styles([TITLES[name] for name in names])
    runs = {label: [runs_of(numbers, False, share) for share in SHARES] for label, numbers in found.items()}
    lines: list[Mark] = []
    for name in names:
        areas = [[auc(*one.at_onset(name)).mean for one in of] for of in runs.values()]
        middle, title = np.nanmean(areas, axis=0), TITLES[name]
        lines.append(Line(np.array(SHARES), middle, styles[title], title, markers=True))
    number: list[Mark] = []
    for (label, of), style in zip(runs.items(), plotting.variants(plotting.NEUTRAL, len(found)), strict=True):
        counted = np.array([one.fell.mean() for one in of])
        number.append(Line(np.array(SHARES), counted, style, label, markers=True))
    x = Axis("share of the running peak")
    charts = [
        Chart("mean AUC by the onset", lines, x, Axis(limits=(0.0, 1.0))),
        Chart("runs that fall, as a share", number, x, Axis(limits=(0.0, 1.0))),
    ]
    return plotting.figure([charts], "where the onset is looked for", size=(10.5, 4.2))


def findings(found: Found, table: list[Row]) -> str:
    """Return the table of monitors at places, with an explanation of its columns."""
    head = [
        "place", "monitor", "AUC by the onset", "AUC by the end", "in time", "of these at the start",
        "detected", "lead, iterations", "lead, nats", "false alarms", "one threshold: in time",
        "false alarms", "others' threshold: in time", "false alarms",
    ]  # fmt: skip
    shown = {
        "at_onset": 2, "at_end": 2, "by_time_in_time": 2, "by_time_at_start": 2, "by_time_detected": 2,
        "by_time_lead": 0, "by_time_lead_kl": 2, "by_time_false_alarms": 2, "own_in_time": 2,
        "own_false_alarms": 2, "others_in_time": 2, "others_false_alarms": 2,
    }  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for label in found:
        ranked = sorted((row for row in table if row["place"] == label), key=lambda row: -row["at_onset"])
        for number, row in enumerate(ranked):
            place = "" if number else f"{label}: {row['fell']} fell, {row['healthy']} healthy"
            cells = [place, TITLES[row["monitor"]], *(_written(row, *column) for column in shown.items())]
            lines.append(f"| {' | '.join(cells)} |")
    said = (
        "AUC is the probability that a monitor's highest value so far is larger in a run that falls than in "
        "a healthy run. Both are read at the iteration at which the fall begins, or at their ends. Its "
        "intervals are DeLong's. A monitor gives an alarm when it exceeds a threshold. Other seeds choose "
        f"the threshold such that {100 * FALSE_ALARMS:g} % of their healthy runs give a false alarm. The "
        "first columns of alarms are for the monitor in standard deviations from these healthy runs at the "
        "same iteration. The next two columns are for one threshold at all iterations, and the last two for "
        "one that the other environments choose together. In time: share of falls with an alarm by their "
        "onset. At the start: share of these alarms that come before the first update or one entry later. "
        "Detected: share of falls with any alarm. The intervals of these shares are Wilson's. Lead: time "
        "from alarm to onset, an interquartile mean over the detected falls, below 0 if the alarm is late."
    )
    return "\n\n".join(["\n".join(lines), said])


def _written(row: Row, column: str, digits: int) -> str:
    value = row.get(column, np.nan)
    if not np.isfinite(value):
        return NONE
    return with_interval(value, row[f"{column}_low"], row[f"{column}_high"], digits)


EXPERIMENT = Study(
    name="onset",
    claim=(
        "Some numbers that a practitioner can compute tell a run that collapses from a healthy run of the "
        "same objective in the same environment. The table says which, how early, and with how many false "
        "alarms."
    ),
    pieces=tuple(part(place, RUNS) for place in PLACES),
    figures=draw_figures,
    rows=rows,
    findings=findings,
    small=tuple(part(place, 8) for place in PLACES[:1]),
)
