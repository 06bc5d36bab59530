"""Search for the point where a leader comes to rest against its follower's answer.

G(θ) = ∇_θ objective(θ, φ) at φ = φ*(θ), the follower's limit; the objective decides how far the leader takes
φ as given. For logits the field is the advantage A = g / w rather than G, because G vanishes wherever a
probability does. Ever longer implicit steps along the flow of the field lead from the start to where a run
would go in small steps; Newton's method (optimistix) finishes. A response whose advantage is negative down to
e⁻³⁰⁰ is held there, off the support, and so is an action that pushes against a bound. The conditions of
optimality are A = 0 on the support and A <= 0 off it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from scipy.special import logsumexp

from fpo_jax import tangents as directions
from fpo_jax.errors import InputError
from fpo_jax.field import Players, derivative_of, field_of, polished_by_newton, weights_of
from fpo_jax.tangents import FLOOR, Tangents
from fpo_jax.types import Theta

MOST_STEPS = 400
"""Maximum implicit steps."""
NEAR = 1e-7, 1e-5
"""Residual and largest field at which Newton's method takes over."""
THERE = 1e-11
"""Residual at which implicit steps end for parameters, whose metric changes with them: Newton's method does
the rest.
"""
PADDED = 16
"""Directions at once: this avoids a program for every number of them, and programs that take all memory."""
FARTHEST = 0.5
"""Longest step, in the Fisher metric, of a policy whose parameters are not logits."""
FAINT = 1e-6
"""Below this probability the search tries a response off the support."""


def in_blocks(along: Callable[[np.ndarray], Array], rows: np.ndarray) -> np.ndarray:
    """Return a row-wise function of rows [m, d] that takes `PADDED` of them at a time."""
    padded = np.pad(rows, ((0, -len(rows) % PADDED), (0, 0)))
    blocks = [np.asarray(along(padded[i : i + PADDED])) for i in range(0, len(padded), PADDED)]
    return np.concatenate([np.zeros((0, rows.shape[1])), *blocks])[: len(rows)]


class NoEquilibrium(InputError):
    """The search reaches no equilibrium from this start; `residual` is how near it came (ours)."""

    def __init__(self, field: str, value: object, allowed: str, residual: float):
        super().__init__(field, value, allowed)
        self.residual = residual


class Point(NamedTuple):
    """The properties of one θ.

    Attributes:
        theta: flattened, [d].
        field: [d] advantages where θ is logits, else the gradient.
        weights: [n] of the responses.
        free: [d] which coordinates are not held; all of them if θ is parameters.
        tangents: directions within those.
        residual: length of the gradient along them, √(gᵀF⁺g).
        steepest: largest |field| among free coordinates; the residual if θ is parameters.
    """

    theta: np.ndarray
    field: np.ndarray
    weights: np.ndarray
    free: np.ndarray
    tangents: Tangents
    residual: float
    steepest: float


class Search:
    """The players, and the form and bounds of θ; all of it on the host."""

    def __init__(
        self,
        players: Players,
        theta: Theta,
        bounds: tuple[Theta, Theta] | None = None,
        repelling: bool = False,
        finest: float = directions.FLAT,
    ):
        flat, self.unravel = ravel_pytree(theta)
        self.players, self.start, self.repelling = players, np.asarray(flat), repelling
        self.least = self.finest = finest
        self.kind = directions.kind(players.game, theta, players.key)
        self.shape = np.shape(theta) if self.kind == "logits" else (flat.size,)
        ends = (-np.inf, np.inf) if bounds is None else bounds
        self.bounds = [np.broadcast_to(np.asarray(ravel_pytree(end)[0]), flat.shape) for end in ends]

    def at(self, theta: np.ndarray, free: np.ndarray | None = None) -> Point:
        """Return the properties of θ, after held coordinates are set to their held values.

        `free` says which coordinates are not held, if known; otherwise θ and the field decide.
        """
        theta = self.allowed(theta) if free is None else self._held(theta, free)
        field, weights = map(np.asarray, field_of(self.players, self.as_theta(theta), self.kind == "logits"))
        free = self._free(theta, field, weights) if free is None else free
        if not np.all(np.isfinite(field)):
            return Point(theta, field, weights, free, directions.of_action(~free & free), np.nan, np.nan)
        if self.kind == "logits":
            found = directions.of_logits(weights, free, self.shape)
        elif self.kind == "action":
            found = directions.of_action(free)
        else:
            found = self._of_parameters(theta, weights.size)
        residual = np.linalg.norm(found.pull @ field)
        steepest = residual if self.kind == "parameters" else np.max(np.abs(field[free]), initial=0.0)
        return Point(theta, field, weights, free, found, float(residual), float(steepest))

    def as_theta(self, flat: np.ndarray) -> Theta:
        """Return θ as the game has it."""
        return self.unravel(jnp.asarray(flat))

    def allowed(self, theta: np.ndarray) -> np.ndarray:
        """Return θ within its bounds; for logits, log-probabilities no lower than the floor."""
        if self.kind != "logits":
            return np.clip(theta, *self.bounds)
        weights = np.asarray(weights_of(self.players, self.as_theta(theta)))
        logs, share = directions.log_policy(weights, self.shape)
        low = np.where(share[:, None] > directions.SEEN, np.maximum(FLOOR - logs, 0.0), 0.0)
        return theta + low.reshape(-1)

    def _held(self, theta: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Return θ with the held logits at the floor, and no other bound applied."""
        if self.kind != "logits" or np.all(free):
            return theta
        rows, given = theta.reshape(-1, self.shape[-1]), free.reshape(-1, self.shape[-1])
        level = logsumexp(np.where(given, rows, -np.inf), axis=1, keepdims=True)
        seen = np.isfinite(level)  # a row with nothing free is never visited
        return np.where(given | ~seen, rows, FLOOR + np.where(seen, level, 0.0)).reshape(-1)

    def step(self, point: Point, along: np.ndarray) -> Point:
        """Return the point at this distance along the tangents, or closer where that leads too far.

        For logits, a probability must not underflow before it is lifted; for parameters, the metric changes.
        """
        change = point.tangents.vectors @ along
        if self.kind == "logits":
            change *= min(1.0, -0.5 * FLOOR / max(np.max(np.abs(change), initial=0.0), 1.0))
        elif self.kind == "parameters":
            change *= min(1.0, FARTHEST / max(float(np.linalg.norm(along)), FARTHEST))
        return self.at(point.theta + change)

    def _free(self, theta: np.ndarray, field: np.ndarray, weights: np.ndarray) -> np.ndarray:
        if self.kind == "parameters":
            return np.ones(theta.shape, bool)
        if self.kind == "action":
            low, high = self.bounds
            return ~((theta <= low) & (field <= 0) | (theta >= high) & (field >= 0))
        logs, share = directions.log_policy(weights, self.shape)
        off = (logs.reshape(-1) <= FLOOR + 1e-6) & (field <= 0)
        return ~off & np.repeat(share > directions.SEEN, self.shape[-1])

    def _of_parameters(self, theta: np.ndarray, responses: int) -> Tangents:
        game, here, key = self.players.game, self.as_theta(theta), self.players.key
        if responses * theta.size <= directions.MOST_SCORES:
            return directions.of_parameters(np.asarray(directions.scores(game, here, key)), self.least)

        def times(vector: np.ndarray) -> np.ndarray:
            return np.array(directions.fisher_times(game, here, vector.reshape(-1), key))  # may be written to

        return directions.of_products(times, theta.size, self.least)

    def jacobian(self, point: Point) -> np.ndarray:
        """Return the derivative of the field's components along the tangents, [r, r]."""
        vectors, _, pull = point.tangents
        theta, natural = self.as_theta(point.theta), vectors @ (pull @ point.field)
        if self.kind == "parameters":
            return (
                pull
                @ in_blocks(
                    lambda along: derivative_of(self.players, theta, along, natural, "parameters"), vectors.T
                ).T
            )
        unit = np.eye(point.theta.size)
        along = np.asarray(derivative_of(self.players, theta, unit, natural, self.kind))
        return pull @ along.T @ vectors


def find(search: Search, tolerance: float) -> tuple[Point, int]:
    """Return the stationary point that the flow leads to from the start, and the number of steps.

    Raises:
        InputError: with the residual reached, when it leads to none.
    """
    point, steps = _flow(search)
    if steps < MOST_STEPS or point.residual <= tolerance:
        point = _off_the_support(search, _newton(search, point), tolerance)
    for name, size, most in (
        ("residual", point.residual, tolerance),
        ("largest advantage", point.steepest, max(NEAR[1], tolerance)),
    ):
        if not size <= most:
            allowed = f"<= {most:g}; start from another policy, such as the last one of a run"
            raise NoEquilibrium(f"{name} after {steps} steps", f"{size:.3g}", allowed, point.residual)
    return point, steps


def _flow(search: Search) -> tuple[Point, int]:
    search.least = max(directions.FLAT, search.finest)
    point = search.at(search.start)
    length = 0.5 / max(point.steepest, 1e-12)
    for step in range(MOST_STEPS):
        if not np.isfinite(point.residual):
            allowed = "finite, but at this policy the follower has no limit or the objective no gradient"
            raise NoEquilibrium("residual", point.residual, allowed, point.residual)
        near = THERE if search.kind == "parameters" else NEAR[0]
        if point.residual <= near and point.steepest <= NEAR[1]:
            if search.least <= search.finest or search.kind != "parameters":
                return point, step
            search.least = max(search.least / 10.0, search.finest)
            point = search.at(point.theta)
        point, length = _longer(search, point, length)
    return point, MOST_STEPS


def _longer(search: Search, point: Point, length: float) -> tuple[Point, float]:
    """Return the point after an implicit step of at most this length, and the next step's length.

    Near a point where the flow divides, a longer step would lead back to that point.
    """
    jacobian, components = search.jacobian(point), point.tangents.pull @ point.field
    unit = np.eye(components.size)
    if components.size and not search.repelling:
        parting = np.max(np.linalg.eigvals(jacobian).real)
        length = min(length, 0.5 / parting) if parting > 0 else length
    for _ in range(40):
        try:
            along = np.linalg.solve(unit / length - jacobian, components)
        except np.linalg.LinAlgError:
            length /= 4.0
            continue
        new = search.step(point, along)
        if new.residual <= 1.5 * point.residual or new.steepest <= 0.5 * point.steepest:
            return new, length * (4.0 if new.residual <= 0.5 * point.residual else 2.0)
        length /= 4.0
    raise NoEquilibrium(
        "Jacobian",
        f"singular at residual {point.residual:.3g}",
        "regular: start elsewhere, or change a setting",
        point.residual,
    )


def _newton(search: Search, point: Point) -> Point:
    """Return the point after Newton's method, or the point itself if that is no better."""
    vectors, _, pull = point.tangents
    if vectors.shape[1] == 0 or search.kind == "parameters":
        return point
    spare = point.theta.size - vectors.shape[1]  # one shape, and so one program, whatever is held
    vectors, pull = np.pad(vectors, ((0, 0), (0, spare))), np.pad(pull, ((0, spare), (0, 0)))
    theta = search.as_theta(point.theta)
    found = polished_by_newton(search.players, theta, vectors, pull, search.kind == "logits")
    new = search.at(np.asarray(found))
    return new if new.residual <= point.residual and new.steepest <= max(point.steepest, NEAR[1]) else point


def _off_the_support(search: Search, point: Point, tolerance: float) -> Point:
    """Return the point with faint responses removed, if the conditions also hold without them."""
    if search.kind != "logits":
        return point
    logs, _ = directions.log_policy(point.weights, search.shape)
    faint = point.free & (logs.reshape(-1) < np.log(FAINT))
    if not np.any(faint):
        return point
    without = search.at(np.where(faint, point.theta + FLOOR - logs.reshape(-1), point.theta))
    holds = without.residual <= max(point.residual, tolerance) and np.all(without.field[faint] <= tolerance)
    return _newton(search, without) if holds else point
