"""The worth of monitors: how well they tell runs that fall from healthy ones, and with which threshold."""

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
"""Share of the healthy runs among the choosing seeds that may give a false alarm."""
MONITORED = ("kl", *MONITORS)


class Runs(NamedTuple):
    """Runs of one objective at one place, without those that diverged.

    Attributes:
        gained: [run, entry] share of the possible gain.
        began: [run] entry of the onset; NaN if there is none.
        healthy: [run] whether the run did not collapse. A run that collapsed without an onset is neither
            healthy nor fallen.
        monitors: [run, entry] the highest value so far, by name of the monitor.
        kl: [run, entry] KL to the first policy in nats; NaN if there is none.
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
        """Which runs fell, [run]."""
        return np.isfinite(self.began)

    def at_onset(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of a monitor at each onset, [m], and in healthy runs at that time, [m, n]."""
        values, entry = self.monitors[name], self.began[self.fell].astype(int)
        return values[self.fell, entry], values[self.healthy][:, entry].T

    def at_end(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of a monitor at the end in runs that fell, [m], and in healthy runs, [n]."""
        values = self.monitors[name][:, -1]
        return values[self.fell], values[self.healthy]

    def warned(self, values: np.ndarray, threshold: float) -> Warned:
        """Return the worth of alarms at a threshold on values, [run, entry]."""
        return warned(values, threshold, self.began, self.healthy, self.kl, self.time)

    def at_start(self, values: np.ndarray, threshold: float) -> Interval:
        """Return the share of alarms in time that come at entries 0 and 1, when a run has hardly begun."""
        at = alarms(values, threshold)
        return share_interval(at[self.fell & (at <= self.began)] <= 1)


def runs_of(numbers: Numbers, chosen: bool, share: float = FALL) -> Runs:
    """Return the choosing runs or the judging runs, with their onsets.

    Args:
        numbers: of a place, as `fpo_jax.experiments.study.monitored.ran` returns them.
        chosen: return the runs that choose thresholds, else those that judge.
        share: share of the running peak that defines an onset, in (0, 1).
    """
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
    """The worth of a monitor at a place. Other seeds choose the thresholds.

    Attributes:
        at_onset: AUC of its values at the onset, against healthy runs at the same iteration.
        at_end: AUC of its values at the end.
        own: alarms with a threshold chosen at the same place.
        by_time: the same for the monitor in standard deviations from healthy runs at the same iteration.
        at_start: share of the alarms in time of `by_time` that come at the start or one entry later.
        others: alarms with one threshold chosen at all other places together; None if there are none.
    """

    at_onset: Interval
    at_end: Interval
    own: Warned
    by_time: Warned
    at_start: Interval
    others: Warned | None


def judged(found: Found) -> dict[str, dict[str, Judged]]:
    """Judge every monitor at every place, by the label of the part, then by the name of the monitor.

    Raises:
        InputError: when no choosing seed of a place ends healthy.
    """
    choosing = {label: runs_of(numbers, chosen=True) for label, numbers in found.items()}
    for label, runs in choosing.items():
        if not runs.healthy.any():
            allowed = f"more, because none of those that choose thresholds in {label} ends healthy"
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
    """Return a monitor in standard deviations from the healthy choosing runs, and its threshold."""
    calm = choosing.monitors[name][choosing.healthy]
    threshold = threshold_at(FALSE_ALARMS, standardised(calm, calm)[:, -1])
    return standardised(runs.monitors[name], calm), threshold


def standardised(values: np.ndarray, healthy: np.ndarray) -> np.ndarray:
    """Return (x − m) / s, the highest so far, with mean m and standard deviation s over healthy runs.

    Where healthy runs do not differ, s counts as infinite, so that no run gives an alarm there.

    Args:
        values: [run, entry] x.
        healthy: [healthy run, entry] values in healthy runs.
    """
    spread = healthy.std(axis=0)
    away = (values - healthy.mean(axis=0)) / np.where(spread > 0, spread, np.inf)
    return highest(away)
