"""A walk along a branch of equilibria, step by step, with the events between two of its points."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from fpo_jax.equilibria import Equilibrium, described
from fpo_jax.frame import Place
from fpo_jax.path import Path
from fpo_jax.stationary import NoEquilibrium

SHORTEST = 1e-7
"""Shortest step; if even that fails, the branch ends."""
EVEN = 1e-9
"""A spectral radius closer than this to 1 counts as 1, since rounding decides."""
PAYS = 1e-10
"""A response off the support pays if its advantage exceeds this."""
DIGITS = 1e-13
"""Tolerance of an event's place between two points, relative to the step."""
ROUNDING = 1e-12
"""A value closer than this to an end, relative to the range, is at the end."""
TOGETHER = 1e-4
"""A fold and a crossing closer than this on a step are one event: where a branch turns, an eigenvalue is
1.
"""

Step = Callable[[float], Place | None]
"""From a share of a step to the place there."""
What = tuple[str, int | None, complex | None]
"""An event's kind, number and eigenvalue."""


class Lost(Exception):
    """There is no point at the requested place."""


class Stop(NamedTuple):
    """A point of a walk, and its events."""

    place: Place
    equilibrium: Equilibrium
    events: tuple[What, ...] = ()


class Walk:
    """A walk between two values of a hyperparameter, each with the reason why it is an end."""

    def __init__(
        self, path: Path, ends: tuple[tuple[float, str], tuple[float, str]], longest: float, most: int
    ):
        self.path, self.ends, self.longest, self.most = path, ends, longest, most

    def follow(self, stop: Stop) -> tuple[list[Stop], str]:
        """Return the stops from this one on, in its direction, and why the walk ends."""
        stops, length, farthest = [stop], 0.25 * self.longest, 0.0
        while len(stops) < self.most:
            place = stops[-1].place
            end, why = self.ends[place.rate > 0.0]
            if (end - place.value) * np.sign(place.rate) <= ROUNDING * self.path.span:
                return stops, why
            try:
                new = self._on(stops[-1], length)
            except Lost:
                length *= 0.5
                if length < SHORTEST:
                    return stops, f"{place.value:g}, beyond which steps of {length:.1g} find no equilibrium"
                continue
            stops += new
            length = min(1.5 * length, self.longest)
            apart = self._apart(stop, stops[-1])
            if (
                apart < length
                and farthest > 4.0 * length
                and self.path.ruler.cosine(stop.place, stops[-1].place) > 0.5
            ):
                return stops, f"{stops[-1].place.value:g}, where the branch closes"
            farthest = max(farthest, apart)
        return stops, f"{stops[-1].place.value:g}, after {self.most} points: ask for more"

    def stop(self, place: Place, *events: What) -> Stop:
        """Return the stop at a place.

        Raises:
            Lost: when an iteration has no derivative there.
        """
        self.path.stand(place.value)
        try:
            return Stop(place, described(self.path.search, place.point, 0), events)
        except NoEquilibrium as error:
            raise Lost(str(error)) from error

    def _apart(self, one: Stop, other: Stop) -> float:
        first, last = one.place, other.place
        return self.path.ruler.distance(first.value, first.point, last.value, last.point)

    def _on(self, stop: Stop, length: float) -> list[Stop]:
        """Return the stops that a step of this length passes.

        Raises:
            Lost: when a shorter step is needed.
        """
        place = stop.place
        (end, _), ahead = self.ends[place.rate > 0.0], place.value + length * place.rate
        if (ahead - end) * place.rate >= 0.0:
            step: Step = lambda s: self.path.to_value(place, place.value + s * (end - place.value))  # noqa: E731
        else:
            if self.path.search.kind == "logits" and (found := self._dropped(stop, length)):
                return found
            step = lambda s: self.path.advance(place, s * length)  # noqa: E731
        new = _there(step(1.0))
        if not self._within(new):
            raise Lost
        broken = np.flatnonzero(self.slack(new) < -PAYS)
        if broken.size:
            return self._switched(stop, step, broken)
        return [*self._between(stop, step, last := self.stop(new)), last]

    def _within(self, place: Place) -> bool:
        return self.ends[0][0] <= place.value <= self.ends[1][0]

    def slack(self, place: Place) -> np.ndarray:
        """Return the slack of each coordinate, [d]: below 0 it contradicts the support."""
        field, free, search = place.point.field, place.point.free, self.path.search
        if search.kind == "parameters":
            return np.full(field.size, np.inf)
        if search.kind == "logits":
            above, seen = self.path.above(place.point)
            return np.where(seen, np.where(free, above, -field), np.inf)
        low, high = search.bounds
        at_low = place.point.theta - low < high - place.point.theta
        inside = np.minimum(place.point.theta - low, high - place.point.theta)
        return np.where(free, inside, np.where(at_low, -field, field))

    def _slack_of(self, place: Place, number: int) -> float:
        return float(self.slack(place)[number])

    def _between(self, stop: Stop, step: Step, last: Stop, upto: float = 1.0) -> list[Stop]:
        """Return the folds and crossings on a part of a step with constant support."""
        place, found = stop.place, list[tuple[float, Stop]]()
        if place.rate * last.place.rate < 0.0:
            share = _root(lambda one: one.rate, place, step, upto)
            found.append((share, self.stop(_there(step(share)), ("fold", None, None))))
        before, after = (one.equilibrium.spectral_radius - 1.0 for one in (stop, last))
        if before * after < 0.0 and min(abs(before), abs(after)) > EVEN:
            share = _root(lambda one: self.stop(one).equilibrium.spectral_radius - 1.0, place, step, upto)
            if not any(abs(share - other) < TOGETHER for other, _ in found):
                at = self.stop(_there(step(share)))
                leading = complex(at.equilibrium.eigenvalues[0])
                found.append((share, at._replace(events=(("crossing", None, leading),))))
        return [one for _, one in sorted(found, key=lambda pair: pair[0])]

    def _switched(self, stop: Stop, step: Step, broken: np.ndarray) -> list[Stop]:
        """Return the stops up to the first change of support among these coordinates, and one beyond."""
        shares = {
            int(i): _root(partial(self._slack_of, number=int(i)), stop.place, step, 1.0) for i in broken
        }
        number = min(shares, key=lambda i: shares[i])
        edge = _there(step(shares[number]))
        enters = not edge.point.free[number]
        one = np.arange(edge.point.free.size) == number
        steep = self.path.search.kind == "logits" and enters and self.path.goes(edge, one)[number]
        beyond = _there(self.path.shown(edge, number) if steep else self.path.switched(edge, number))
        beyond = beyond if self._slack_rate(beyond, number) > 0.0 else beyond.reversed()
        at, then = self.stop(edge), self.stop(beyond)
        before = self._between(stop, step, at, shares[number])
        what: What = ("enters" if enters else "leaves", number, None)
        told = self._told(before[-1] if before else stop, at, then, what, edge.rate * beyond.rate < 0.0)
        return [*before, told, then]

    def _told(self, before: Stop, at: Stop, then: Stop, what: What, turns: bool) -> Stop:
        """Return the stop at which the support changes, with its other events."""
        events = [what, *([("fold", None, None)] if turns else [])]
        radii = [one.equilibrium.spectral_radius - 1.0 for one in (before, then)]
        if radii[0] * radii[1] < 0.0 and min(map(abs, radii)) > EVEN:
            events.append(("crossing", None, complex(at.equilibrium.eigenvalues[0])))
        return at._replace(events=tuple(events))

    def _slack_rate(self, place: Place, number: int) -> float:
        """Return how fast the slack of a coordinate grows."""
        rates = place.along if place.point.free[number] else -place.field_rate
        if self.path.search.kind == "logits":
            return float(rates[number])
        low, high = (end[number] for end in self.path.search.bounds)
        inward = 1.0 if place.point.theta[number] - low < high - place.point.theta[number] else -1.0
        return float(inward * rates[number])

    def _dropped(self, stop: Stop, length: float) -> list[Stop]:
        """Return the stops of a step on which a response leaves the support, or none.

        Its probability reaches 0 at the point where its advantage without it is 0.
        """
        place, change = stop.place, length * stop.place.along
        faint = place.point.free & (change < -1.0)
        for number in map(int, np.flatnonzero(faint & self.path.goes(place, faint))):
            new = self.path.without(place, number, length)
            if new is None:
                continue
            settled = self.slack(new)[number] >= 0.0
            if not settled and self._slack_rate(new, number) >= 0.0:
                continue  # it is still on the support there
            edge = self._edge(new.reversed(), number, length)
            if edge is None:
                continue
            if settled:
                edge = edge.reversed()
            elif (new := self.path.advance(edge, 0.25 * length)) is None:
                continue
            if not (self._within(edge) and self._within(new)):
                raise Lost
            at, then = self.stop(edge), self.stop(new)
            return [
                self._told(stop, at, then, ("leaves", number, None), stop.place.rate * new.rate < 0.0),
                then,
            ]
        return []

    def _edge(self, start: Place, number: int, length: float) -> Place | None:
        """Return the place beyond a start at which a held response begins, or ceases, to pay."""
        first = self.slack(start)[number]
        for far in (1.0, 2.0, 4.0):
            step: Step = lambda s, far=far: self.path.advance(start, s * far * length)  # type: ignore[misc]  # noqa: E731
            end = step(1.0)
            if end is None:
                return None
            if self.slack(end)[number] * first <= 0.0:
                return step(_root(partial(self._slack_of, number=number), start, step, 1.0))
        return None


def _there(place: Place | None) -> Place:
    if place is None:
        raise Lost
    return place


def _root(of: Callable[[Place], float], place: Place, step: Step, upto: float) -> float:
    """Return the share of a step at which a function of its places is 0, by Brent's method."""

    def value(share: float) -> float:
        return float(of(place if share == 0.0 else _there(step(share))))

    ends = value(0.0), value(upto)
    if ends[0] * ends[1] > 0.0:
        if abs(ends[0]) > PAYS:
            raise Lost
        return 0.0
    return float(brentq(value, 0.0, upto, xtol=DIGITS))
