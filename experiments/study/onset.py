"""What monitors are worth: how well they tell runs that fall from healthy ones, and at which threshold."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from fpo_jax.errors import InputError
from fpo_jax.experiments.study.experiment import Found, Numbers
from fpo_jax.monitors import MONITORS
from fpo_jax.statistics import (
    FALL,
    Interval,
    Warned,
    alarms,
    auc,
    collapsed,
    highest,
    onsets,
    share_interval,
    threshold_at,
    warned,
)

FALSE_ALARMS = 0.05
"""Share of healthy runs, of those that choose thresholds, that may give the alarm."""
MONITORED = ("kl", *MONITORS)


class Runs(NamedTuple):
    """Runs of one objective at one place, those that diverged left out.

    Attributes:
        gained: [run, entry] share of what was to be gained.
        began: [run] entry of the onset, NaN where there is none.
        healthy: [run] whether it did not collapse; a run that did and has no onset is neither.
        monitors: by name, [run, entry], the highest value so far.
        kl: [run, entry] in nats, NaN where there is none.
        time: [entry] in iterations.
    """

    gained: np.ndarray
    began: np.ndarray
    healthy: np.ndarray
    monitors: Mapping[str, np.ndarray]
    kl: np.ndarray
    time: np.ndarray

    @property
    def fell(self) -> np.ndarray:
        """Say which runs fell."""
        return np.isfinite(self.began)

    def at_onset(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return what a monitor showed by each onset, [m], and healthy runs by the same iteration, [m, n]."""
        values, entry = self.monitors[name], self.began[self.fell].astype(int)
        return values[self.fell, entry], values[self.healthy][:, entry].T

    def at_end(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return what a monitor showed by the end in runs that fell, [m], and in healthy ones, [n]."""
        values = self.monitors[name][:, -1]
        return values[self.fell], values[self.healthy]

    def warned(self, values: np.ndarray, threshold: float) -> Warned:
        """Return what values, [run, entry], are worth at a threshold."""
        return warned(values, threshold, self.began, self.healthy, self.kl, self.time)

    def at_start(self, values: np.ndarray, threshold: float) -> Interval:
        """Return which share of the alarms in time come at entries 0 and 1, where a run has hardly begun."""
        at = alarms(values, threshold)
        return share_interval(at[self.fell & (at <= self.began)] <= 1)


def runs_of(numbers: Numbers, chosen: bool, share: float = FALL) -> Runs:
    """Return the runs that choose thresholds, or those that are judged, with their onsets at this share."""
    first = int(numbers["choosing"])
    rows = (np.arange(len(numbers["finite"])) < first) == chosen
    rows &= numbers["finite"]
    gained = numbers["gained"][rows].astype(np.float32)
    began = onsets(gained, share)
    kl = numbers["kl"][rows].astype(float) if "kl" in numbers else np.full(gained.shape, np.nan)
    monitors = {name: numbers[name][rows].astype(float) for name in MONITORS if name in numbers}
    monitors |= {"kl": highest(kl)} if "kl" in numbers else {}
    return Runs(gained, began, ~collapsed(gained, 1.0) & np.isnan(began), monitors, kl, numbers["time"])


class Judged(NamedTuple):
    """A monitor at a place.

    Attributes:
        at_onset: AUC of what it showed by the onset, against healthy runs by the same iteration.
        at_end: AUC of what it showed by the end.
        own: at the threshold that other seeds of the place chose.
        by_time: likewise, of the monitor in standard deviations over healthy runs at the same iteration.
        at_start: share of the alarms in time of `by_time` that come at the start or one entry later.
        others: at the one that other seeds of the other places chose together; None where it is alone.
    """

    at_onset: Interval
    at_end: Interval
    own: Warned
    by_time: Warned
    at_start: Interval
    others: Warned | None


def judged(found: Found) -> dict[str, dict[str, Judged]]:
    """Return every monitor at every place, by the label of the part, then by the name of the monitor.

    Raises:
        InputError: when none of the seeds that choose thresholds at a place ends healthy.
    """
    choosing = {label: runs_of(numbers, chosen=True) for label, numbers in found.items()}
    for label, runs in choosing.items():
        if not runs.healthy.any():
            allowed = f"more: of those that choose thresholds in {label} none ends healthy"
            raise InputError("seeds", int(found[label]["choosing"]), allowed)
    scores = {
        (label, name): runs.at_end(name)[1] for label, runs in choosing.items() for name in runs.monitors
    }
    result: dict[str, dict[str, Judged]] = {}
    for label, numbers in found.items():
        runs = runs_of(numbers, chosen=False)
        result[label] = {}
        for name in MONITORED:
            if (label, name) not in scores:
                continue
            others = [of for (place, one), of in scores.items() if one == name and place != label]
            timed = by_time(runs, choosing[label], name)
            values = runs.monitors[name]
            result[label][name] = Judged(
                auc(*runs.at_onset(name)),
                auc(*runs.at_end(name)),
                runs.warned(values, threshold_at(FALSE_ALARMS, scores[label, name])),
                runs.warned(*timed),
                runs.at_start(*timed),
                runs.warned(values, threshold_at(FALSE_ALARMS, *others)) if others else None,
            )
    return result


def by_time(runs: Runs, choosing: Runs, name: str) -> tuple[np.ndarray, float]:
    """Return a monitor in standard deviations over the healthy runs that choose, and their threshold."""
    calm = choosing.monitors[name][choosing.healthy]
    threshold = threshold_at(FALSE_ALARMS, standardised(calm, calm)[:, -1])
    return standardised(runs.monitors[name], calm), threshold


def standardised(values: np.ndarray, healthy: np.ndarray) -> np.ndarray:
    """Return values, [run, entry], in standard deviations from the mean over healthy runs at each entry.

    The highest so far. Where healthy runs do not differ, no run gives the alarm.
    """
    spread = healthy.std(axis=0)
    away = (values - healthy.mean(axis=0)) / np.where(spread > 0, spread, np.inf)
    return highest(away)
