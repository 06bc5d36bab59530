"""One method at one place: some seeds choose its number, and others judge it."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from fpo_jax.engine.sweep import Cell, Sweep
from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.errors import InputError, NotDefined
from fpo_jax.experiments.comparison.methods import Method, Place
from fpo_jax.experiments.core.progress import Tell, silent
from fpo_jax.experiments.core.settings import Settings, in_precision, resolve
from fpo_jax.experiments.sweeps.grid import between_entries
from fpo_jax.followers import FOLLOWERS
from fpo_jax.statistics import collapsed, share_gained

FIRST_TUNING = 1000
"""First of the tuning seeds. The judging seeds begin at 0 and end before it."""
CHUNKS = 4
"""The judging seeds run in this many chunks if a place asks for no other width. The first is not timed."""


class Runs(NamedTuple):
    """Runs with several values of the tuned number, on the same seeds.

    A run that diverged counts as one that gained nothing and collapsed.

    Attributes:
        gained: [value, seed] share of the possible gain, at the end.
        collapsed: [value, seed] whether the policy collapsed.
        blind_spot, utility: [value, seed] mass in the blind spot and E[U] at the end; NaN if it diverged.
        diverged: number of runs that diverged.
        seconds: CPU seconds of one run, without compilation; NaN on another device.
        regret: [value, seed] mean of 1 − the share gained over the entries after the first, 1 if it
            diverged; NaN in trials that were stored before regret was measured.
    """

    gained: np.ndarray
    collapsed: np.ndarray
    blind_spot: np.ndarray
    utility: np.ndarray
    diverged: np.ndarray
    seconds: np.ndarray
    regret: np.ndarray = np.array(np.nan)


class Trial(NamedTuple):
    """The result of a method at a place.

    Attributes:
        values: [value] the values tried; a single NaN if nothing is tuned.
        tuning: runs with all of them, on the tuning seeds.
        chosen: index of the value that the rule chose.
        judged: runs with that value, on the judging seeds.
        undefined: the reason if the method is not defined at the place, and then all else is empty; else "".
    """

    values: np.ndarray
    tuning: Runs
    chosen: int
    judged: Runs
    undefined: str = ""

    @property
    def defined(self) -> bool:
        """Say whether the method is defined at the place."""
        return not self.undefined

    def safe_factor(self) -> float:
        """Return the ratio between the ends of the widest range of values at which no tuning seed collapses.

        All tried values in the range must be safe. The factor is 1 for a single value, 0 if there is none.
        """
        widest, first = 0.0, float("nan")
        for value, fell in zip(self.values, np.any(self.tuning.collapsed, axis=1).tolist(), strict=True):
            first = float("nan") if fell else value if np.isnan(first) else first
            widest = float(np.fmax(widest, value / first))
        return widest


Trials = Mapping[str, Mapping[str, Trial]]
"""By the label of the place, then of the method."""
_NONE = np.zeros((0, 0))
NOTHING = Runs(_NONE, _NONE, _NONE, _NONE, np.array(0), np.array(np.nan))


def wishes(place: Place, method: Method, **more: Any) -> dict[str, Any]:
    """Return the settings of a method at a place, without the tuned number; `more` overrides all others."""
    usual = {"precision": "float32", "record": "outcome"}
    if method.settings.get("follower") == "ensemble":
        usual |= {"differ": place.differ}
    return usual | {**place.settings, **method.settings, **more}


def _require_kind(asked: dict[str, Any]) -> None:
    """Raise NotDefined if a method retrains another kind of follower than the place has."""
    name, usual = asked.get("follower", "ensemble"), ENVIRONMENTS[asked["environment"]].recipe.follower
    if name != "ensemble" and not issubclass(FOLLOWERS[name], FOLLOWERS[usual]):
        raise NotDefined("follower", name, f"a kind of {usual}, which retrains the reward model here")


def compared(place: Place, method: Method, tell: Tell = silent, **more: Any) -> Trial:
    """Choose a method's number at a place on the tuning seeds, and judge it there on the others.

    The rule chooses the value with the highest mean share gained; among equal ones, the smallest.

    Raises:
        InputError: when a tuning seed would judge as well.
    """
    if place.seeds > FIRST_TUNING:
        raise InputError("seeds", place.seeds, f"at most {FIRST_TUNING}: the tuning seeds begin there")
    asked, tried = wishes(place, method, **more), np.array(method.values or (np.nan,))
    try:
        _require_kind(asked)
        cells = [resolve(asked | ({method.tuned: float(v)} if method.tuned else {})) for v in tried]
        tuning = _run(cells, FIRST_TUNING, place.tuning, place, tell)
        chosen = int(np.argmax(tuning.gained.mean(axis=1)))
        return Trial(tried, tuning, chosen, _run([cells[chosen]], 0, place.seeds, place, tell))
    except NotDefined as error:
        return Trial(np.zeros(0), NOTHING, 0, NOTHING, str(error))


def _run(cells: list[Settings], first: int, seeds: int, place: Place, tell: Tell) -> Runs:
    steps = cells[0].steps
    every = between_entries(steps)
    with in_precision(cells[0].precision):
        built = [Cell(*settings.build()) for settings in cells]
        width = max(place.seeds // CHUNKS, 1) if place.width is None else min(place.width, place.seeds)
        sweep = Sweep(built, range(first, first + seeds), steps=steps, every=every, width=width, tell=tell)
        parts, seconds = [], []
        for number, chunk in enumerate(sweep.chunks):
            tell(cells[0].names.objective, number / len(sweep.chunks))
            began = time.process_time()
            parts.append((chunk, sweep.compute(chunk)))
            seconds.append((time.process_time() - began) / sweep.width)
    lanes = sweep.gather(parts)
    stays = np.asarray(lanes.finite.all(axis=-1))
    utility = np.where(stays[..., None], lanes.metrics["true_utility"], 0.0)
    shares = np.where(stays[..., None], np.nan_to_num(share_gained(utility, lanes.optimum)), 0.0)
    gained = shares[..., -1]
    regret: np.ndarray = 1.0 - shares[..., 1:].mean(axis=-1)
    fell = np.where(stays, collapsed(utility, lanes.optimum), True)
    mass, end = (
        np.where(stays, lanes.metrics[m][..., -1], np.nan) for m in ("blind_spot_mass", "true_utility")
    )
    # as they were computed
    gained, mass, end, regret = (values.astype(np.float32) for values in (gained, mass, end, regret))
    timed = np.array(np.median(seconds[1:] or seconds) if jax.default_backend() == "cpu" else np.nan)
    return Runs(gained, fell, mass, end, np.array((~stays).sum()), timed, regret)
