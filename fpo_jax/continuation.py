"""Branches of equilibria along one hyperparameter, through folds, with the events on the way.

`continued` follows the equilibrium that a policy leads to, with the steps of `fpo_jax.path`. Between two
points of a branch, `fpo_jax.walk` finds events by Brent's method (scipy). An event is a fold, where the
hyperparameter turns; a crossing, where the spectral radius of an iteration passes 1 and stability changes; a
response that enters or leaves the support; or an action that reaches or leaves a bound.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import bisect

from fpo_jax.equilibria import SAME, Equilibrium, checked_players, described, equilibrium
from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import declared, require_allowed
from fpo_jax.path import Family, Path
from fpo_jax.stationary import NoEquilibrium, Search, find
from fpo_jax.types import Key, Theta
from fpo_jax.walk import Stop, Walk

MOST = 40
"""Maximum steps for each requested point."""


class Event(NamedTuple):
    """An event at one point of a branch.

    Attributes:
        kind: `fold`, the hyperparameter turns; `crossing`, the spectral radius passes 1; `enters` and
            `leaves`, a response enters or leaves the support, in the order of the branch. A coordinate of an
            action enters when it leaves a bound.
        place: number of the point.
        value: of the hyperparameter.
        which: number of the response or of the action's coordinate; None for a fold or crossing.
        eigenvalue: for a crossing, the one of size 1. It is 1 where another branch may start or a run drifts
            away, −1 where a run alternates, and otherwise one of a complex pair with which a run circles.
    """

    kind: str
    place: int
    value: float
    which: int | None = None
    eigenvalue: complex | None = None


class Branch(NamedTuple):
    """Equilibria along one hyperparameter, in the order in which the branch passes them.

    Attributes:
        values: [points] of the hyperparameter; they rise and fall where the branch folds.
        equilibria: at each value, with metrics, residual, stability ...
        events: folds, crossings, and changes of the support, in the same order; each is also a point.
        ends: why the branch ends at its first point, and why at its last.
    """

    values: np.ndarray
    equilibria: tuple[Equilibrium, ...]
    events: tuple[Event, ...]
    ends: tuple[str, str]

    def metric(self, name: str) -> np.ndarray:
        """Return a metric, or a number such as `spectral_radius`, at each point."""
        return np.array(
            [one.metrics[name] if name in one.metrics else getattr(one, name) for one in self.equilibria]
        )

    def stretches(self) -> list[tuple[np.ndarray, bool]]:
        """Return the ranges of points from each event to the next, and whether they are stable in between."""
        happens = {event.place for event in self.events}  # at the event itself it is neither
        found = []
        for first, last in pairwise(sorted({0, len(self.values) - 1} | happens)):
            part = np.arange(first, last + 1)
            inner = [number for number in part if number not in happens] or part
            found.append((part, self.equilibria[inner[len(inner) // 2]].stable))
        return found


def continued(
    players_at: Family,
    low: float,
    high: float,
    theta: Theta,
    key: Key,
    *,
    start: float | None = None,
    points: int = 50,
    bounds: tuple[Theta, Theta] | None = None,
    repelling: bool = False,
    finest: float = 1e-2,
    tolerance: float = 1e-9,
) -> Branch:
    """Return the branch through the equilibrium that θ leads to at `start`, up to both of its ends.

    Args:
        players_at: a traceable function from a value of the hyperparameter to game, leader and follower.
        low, high: range of the hyperparameter.
        theta: where the search for the first equilibrium begins; an objective held to the first policy is
            held to it.
        key: as of a run.
        start: value in the range at which to begin; `low` by default.
        points: how many points there would be if only the hyperparameter changed; there are more where the
        policy changes too. bounds, repelling, finest, tolerance: as of `equilibrium`.

    Raises:
        InputError: for an invalid range, a start that leads to no equilibrium, and as `equilibrium`.
    """
    first = low if start is None else start
    if not low < high or not low <= first <= high:
        raise InputError(
            "range", f"{low:g} to {high:g}, start {first:g}", "low < high, with the start between them"
        )
    if points < 2:
        raise InputError("points", points, ">= 2")
    _require(players_at, first)
    players = checked_players(*players_at(jnp.asarray(first, float)), theta, key)
    search = Search(players, theta, bounds, repelling, finest)
    point, steps = find(search, tolerance)
    path = Path(players_at, jax.tree.map(jnp.asarray, theta), key, search, high - low, tolerance)
    place = path.directed(first, path.at(point.theta, first, point.free))
    if place is None:
        allowed = "regular; start at another value, or break the symmetry that merges several equilibria here"
        raise NoEquilibrium(f"Jacobian at {first:g}", "singular", allowed, point.residual)
    origin = Stop(place, described(search, place.point, steps))
    ends = _allowed(players_at, first, low), _allowed(players_at, first, high)
    walk = Walk(path, ends, 1.0 / (points - 1), MOST * points)
    back = walk.follow(origin._replace(place=place.reversed()))
    return _joined(*back, *walk.follow(origin))


def branches(
    players_at: Family, low: float, high: float, thetas: Sequence[Theta], key: Key, **options: Any
) -> tuple[Branch, ...]:
    """Return the branches that these policies lead to from both ends of the range, without duplicates.

    Args:
        players_at, low, high, key, options: as of `continued`.
        thetas: where the searches for a first equilibrium begin, at `low` and at `high`.

    Raises:
        InputError: as `continued`.
    """
    found: list[Branch] = []
    for start in (low, high):
        for theta in thetas:
            new = continued(players_at, low, high, theta, key, start=start, **options)
            if not any(np.allclose(_ends(new), _ends(old), rtol=SAME, atol=SAME) for old in found):
                found.append(new)
    return tuple(found)


def _ends(branch: Branch) -> np.ndarray:
    """Return a description of its two ends, independent of their order."""
    names = ("true_utility", "proxy_reward", "spectral_radius")
    rows = [(branch.values[i], *(branch.metric(name)[i] for name in names)) for i in (0, -1)]
    return np.array(sorted(rows, key=lambda row: tuple(round(x, 5) for x in row)))


def passed(
    branch: Branch, players_at: Family, value: float, key: Key, *, bounds: tuple[Theta, Theta] | None = None
) -> tuple[Equilibrium, ...]:
    """Return the equilibria of a branch at one value, in its order; there are several where it folds back.

    The search begins at the nearer of two neighbouring points with the value between them. An objective that
    is held to another policy is held to that point.

    Args:
        branch, players_at, key, bounds: the result of `continued`, and its arguments.
        value: of the hyperparameter.

    Raises:
        InputError: as `equilibrium`.
    """
    found = []
    for number, (here, there) in enumerate(pairwise(branch.values)):
        if here == value or (here - value) * (there - value) < 0.0:
            nearer = number + int(abs(there - value) < abs(here - value))
            theta = branch.equilibria[nearer].theta
            players = players_at(jnp.asarray(value, float))
            found.append(equilibrium(*players, theta, key, bounds=bounds, repelling=True))
    if branch.values[-1] == value:
        found.append(branch.equilibria[-1])
    return tuple(found)


def _joined(back: list[Stop], first_end: str, on: list[Stop], last_end: str) -> Branch:
    """Return the branch made of two halves that begin at the same stop."""
    turned = {"enters": "leaves", "leaves": "enters"}
    events, stops = [], [*back[:0:-1], *on]
    for number, stop in enumerate(stops):
        for kind, which, eigenvalue in stop.events:
            told = turned.get(kind, kind) if number < len(back) - 1 else kind
            events.append(Event(told, number, stop.place.value, which, eigenvalue))
    values = np.array([stop.place.value for stop in stops])
    return Branch(values, tuple(stop.equilibrium for stop in stops), tuple(events), (first_end, last_end))


def _require(players_at: Family, value: float) -> None:
    """Raise an InputError unless this hyperparameter and all others are in their ranges."""
    game, leader, follower = players_at(value)  # type: ignore[arg-type]
    for owner in (game, leader.objective, leader, follower, follower.feedback):
        if declared(owner):
            require_allowed(owner)


def _allowed(players_at: Family, first: float, end: float) -> tuple[float, str]:
    """Return the last allowed value on the way to an end of the range, and why it is the last."""

    def refused(value: float) -> InputError | None:
        try:
            _require(players_at, value)
        except InputError as error:
            return error
        return None

    error = refused(end)
    if error is None:
        return end, f"{end:g}, the end of the range"
    near = bisect(lambda value: -1.0 if refused(value) else 1.0, first, end, xtol=1e-12 * abs(end - first))
    inner = near + 2e-12 * (first - end)
    last = next(value for value in (*(round(near, digits) for digits in (6, 9)), inner) if not refused(value))
    return last, f"{last:g}, the end of what is allowed: {error}"
