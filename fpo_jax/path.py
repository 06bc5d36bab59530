"""Points of a branch of equilibria along one hyperparameter: the tangent, and the point one step further.

On a branch the field of `fpo_jax.field` vanishes at θ and at a value of the hyperparameter, with one support.
A step of pseudo-arclength continuation follows the tangent; Newton's method (optimistix) then returns to the
branch, across the tangent. So the walk passes folds, where the hyperparameter turns (Keller 1977). Lengths of
a policy are in its Fisher metric, those of an action relative to 1 + |θ|, and those of the hyperparameter
relative to its range.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial
from jaxtyping import Array

from fpo_jax import tangents as directions
from fpo_jax.equilibria import players_of
from fpo_jax.field import Players, derivative_of, direction_of, field_of
from fpo_jax.frame import Frame, Place, Ruler
from fpo_jax.leader import Leader
from fpo_jax.numerics import roots
from fpo_jax.numerics.undetached import undetached
from fpo_jax.stationary import NEAR, Point, Search
from fpo_jax.tangents import FLOOR
from fpo_jax.types import Follower, Game, Key, Scalar, Theta

Family = Callable[[Scalar], tuple[Game, Leader, Follower]]
"""The players at a value of the hyperparameter; traceable, and the same structure at every value.

The arrays of a `jax.tree_util.Partial` are traced as well, so changing them compiles nothing.
"""

DIGITS = 1e-11
"""Change of a coordinate at which Newton's method ends."""
ROUNDS = 4
"""Most rounds of Newton's method if θ is parameters, whose metric changes with them."""
ENTROPY = 1e-6
"""If the advantages at probabilities e⁻³⁰⁰ and e⁻¹⁵⁰ differ by this or more, there is an entropy term."""
STRAIGHT = 0.9
"""Smallest cosine of the angle that the tangent may turn in one step."""


@jax.jit
def _players(family: Family, held: Theta, key: Key, value: Scalar) -> Players:
    return players_of(*family(value), held, key)


@partial(jax.jit, static_argnums=5)
def _by_value(family: Family, held: Theta, key: Key, value: Scalar, theta: Theta, logits: bool) -> Array:
    """Return the derivative of the field in the hyperparameter, [d]."""

    def field(at: Scalar) -> Array:
        return direction_of(players_of(*family(at), held, key), theta, logits)[0]

    return jax.jvp(undetached(field), (value,), (jnp.ones_like(value),))[1]


@partial(jax.jit, static_argnums=8)
def _corrected(
    family: Family,
    held: Theta,
    key: Key,
    value: Scalar,
    theta: Theta,
    frame: Frame,
    across: Array,
    span: float,
    logits: bool,
) -> tuple[Array, Scalar]:
    """Return (θ, value) on the branch nearest by, across @ (c, change of the value / span) = 0."""
    flat, unravel = ravel_pytree(theta)

    def equations(z: Array) -> Array:
        players = players_of(*family(value + span * z[-1]), held, key)
        field = direction_of(players, unravel(flat + frame.vectors @ z[:-1]), logits)[0]
        on = frame.pull @ field + frame.gauge @ z[:-1]
        return jnp.append(on, jnp.vdot(across, z))

    z = roots.polished(undetached(equations), jnp.zeros(across.size), DIGITS)
    return flat + frame.vectors @ z[:-1], value + span * z[-1]


class Path:
    """A family of players, with steps along their branches."""

    def __init__(self, family: Family, held: Theta, key: Key, search: Search, span: float, tolerance: float):
        self.family = family if isinstance(family, Partial) else Partial(family)
        self.held, self.key = held, key
        self.search, self.span, self.tolerance = search, span, tolerance
        self.ruler = Ruler(search, span)

    def at(self, theta: np.ndarray, value: float, free: np.ndarray | None = None) -> Point:
        """Return the properties of θ at this value, and set the search to it."""
        self.stand(value)
        return self.search.at(theta, free)

    def stand(self, value: float) -> None:
        """Set the search to this value."""
        self.search.players = _players(self.family, self.held, self.key, jnp.asarray(value, float))

    def above(self, point: Point) -> tuple[np.ndarray, np.ndarray]:
        """Return log-probabilities above the floor, and which belong to a visited state or prompt, [d]."""
        logs, share = directions.log_policy(point.weights, self.search.shape)
        return logs.reshape(-1) - FLOOR, np.repeat(share > directions.SEEN, self.search.shape[-1])

    def directed(self, value: float, point: Point, before: Place | None = None) -> Place | None:
        """Return the place with its tangent, onward from `before` or to larger values; None if singular."""
        frame, theta = self.ruler.frame(point), self.search.as_theta(point.theta)
        natural = point.tangents.vectors @ (point.tangents.pull @ point.field)
        columns = derivative_of(self.search.players, theta, frame.vectors.T, natural, self.search.kind)
        logits = self.search.kind == "logits"
        at = jnp.asarray(value, float)
        by_value = self.span * np.asarray(_by_value(self.family, self.held, self.key, at, theta, logits))
        columns = np.asarray(columns).T
        matrix = np.column_stack([frame.pull @ columns + frame.gauge, frame.pull @ by_value])
        last = (
            np.append(np.zeros(len(matrix)), 1.0)
            if before is None
            else self.ruler.across(before, point, frame)
        )
        try:
            c = np.linalg.solve(np.vstack([matrix, last]), np.append(np.zeros(len(matrix)), 1.0))
        except np.linalg.LinAlgError:
            return None
        length = np.sqrt(np.sum((frame.lengths @ c[:-1]) ** 2) + c[-1] ** 2)
        if not np.isfinite(length) or (length > 1e9 and before is None):
            return None
        c /= length
        changes = columns @ c[:-1] + by_value * c[-1]
        return Place(value, point, frame.vectors @ c[:-1], self.span * float(c[-1]), changes)

    def advance(self, place: Place, length: float, free: np.ndarray | None = None) -> Place | None:
        """Return the place at this length along a branch, or None if a step of this length fails.

        `free` is its support, if that differs from the present one.
        """
        if length == 0.0:
            return place
        change = length * place.along
        if self.search.kind == "logits":  # the square root of a probability that rises from 0 changes evenly
            change = np.where(change > 0.0, 2.0 * np.log1p(0.5 * np.maximum(change, 0.0)), change)
        value = place.value + length * place.rate
        return self.landed(place, place.point.theta + change, value, abs(length), free)

    def landed(
        self,
        place: Place,
        theta: np.ndarray,
        value: float,
        length: float,
        free: np.ndarray | None = None,
        across: np.ndarray | None = None,
    ) -> Place | None:
        """Return the place on the branch nearest to (θ, value), or None if it is on another branch.

        Args:
            place: the start of the step.
            theta, value, length: the step.
            free: the support.
            across: [m + 1] the component of (c, value) to keep fixed; by default the one along the direction.
        """
        point = place.point if free is None else self.at(theta, value, free)
        for _ in range(ROUNDS if self.search.kind == "parameters" else 1):
            frame = self.ruler.frame(point)
            row = self.ruler.across(place, point, frame) if across is None else across
            theta, value = self._corrected(theta, value, frame, row)
            if not np.all(np.isfinite(theta)) or not np.isfinite(value) or np.max(np.abs(theta)) > 1e8:
                return None
            point = self.at(theta, value, point.free)
            if point.residual <= self.tolerance:
                break
        if not point.residual <= self.tolerance or not point.steepest <= NEAR[1]:
            return None
        if self.ruler.distance(place.value, place.point, value, point) > 3.0 * length:
            return None
        new = self.directed(value, point, place)
        return (
            new
            if new is not None and (free is not None or self.ruler.cosine(place, new) > STRAIGHT)
            else None
        )

    def _corrected(
        self, theta: np.ndarray, value: float, frame: Frame, row: np.ndarray
    ) -> tuple[np.ndarray, float]:
        moved, at = _corrected(
            self.family,
            self.held,
            self.key,
            jnp.asarray(value, float),
            self.search.as_theta(theta),
            frame,
            row,
            self.span,
            self.search.kind == "logits",
        )
        return np.asarray(moved), float(at)

    def to_value(self, place: Place, value: float) -> Place | None:
        """Return the place of the branch at this value, or None if no step leads to it."""
        if place.rate == 0.0:
            return None
        length = (value - place.value) / place.rate
        row = np.append(np.zeros(len(self.ruler.frame(place.point).gauge)), 1.0)
        near = self.landed(place, place.point.theta + length * place.along, value, abs(length), across=row)
        return None if near is None or near.rate * place.rate <= 0.0 else near._replace(value=value)

    def shown(self, place: Place, number: int) -> Place | None:
        """Return a nearby place at which a response that was held has a small probability."""
        free = place.point.free | (np.arange(place.point.free.size) == number)
        theta = self._with(place.point, number, np.log(1e-4))
        row: Any = np.append((np.arange(free.size) == number) * 1.0, 0.0)
        return self.landed(place, theta, place.value, 0.1, free, row)

    def switched(self, place: Place, number: int) -> Place | None:
        """Return the place with a coordinate of an action held at its bound, or released."""
        free = place.point.free ^ (np.arange(place.point.free.size) == number)
        return self.directed(place.value, self.at(place.point.theta, place.value, free), place)

    def goes(self, place: Place, faint: np.ndarray) -> np.ndarray:
        """Return which of these responses can leave: those that no entropy term keeps alive."""
        if not np.any(faint):
            return faint
        self.stand(place.value)
        logs = directions.log_policy(place.point.weights, self.search.shape)[0].reshape(-1)
        there, half = (
            np.asarray(field_of(self.search.players, self.search.as_theta(theta), True)[0])
            for floor in (FLOOR, 0.5 * FLOOR)
            for theta in [np.where(faint, place.point.theta + floor - logs, place.point.theta)]
        )
        return faint & (np.abs(there - half) < ENTROPY)

    def without(self, place: Place, number: int, length: float) -> Place | None:
        """Return the place one step further with this response held off the support."""
        free = place.point.free & (np.arange(place.point.free.size) != number)
        theta = self._with(place.point, number, FLOOR) + length * place.along * free
        return self.landed(place, theta, place.value + length * place.rate, length, free)

    def _with(self, point: Point, number: int, log: float) -> np.ndarray:
        """Return θ with this log-probability for one response."""
        logs, _ = directions.log_policy(point.weights, self.search.shape)
        theta = point.theta.copy()
        theta[number] += log - logs.reshape(-1)[number]
        return theta
