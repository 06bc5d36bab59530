"""Coordinates, directions and lengths along a branch of equilibria."""

from typing import NamedTuple

import numpy as np

from fpo_jax.stationary import PADDED, Point, Search


class Place(NamedTuple):
    """A point of a branch and the unit direction in which the branch continues.

    Attributes:
        value: of the hyperparameter.
        point: the properties there.
        along: [d] change of the flattened θ.
        rate: change of the value.
        field_rate: [d] change of the field.
    """

    value: float
    point: Point
    along: np.ndarray
    rate: float
    field_rate: np.ndarray

    def reversed(self) -> "Place":
        """Return the place with the opposite direction."""
        return self._replace(along=-self.along, rate=-self.rate, field_rate=-self.field_rate)


class Frame(NamedTuple):
    """The m coordinates c around a point in which the branch's equations are regular.

    Attributes:
        vectors: [d, m] θ changes by vectors @ c.
        pull: [m, d] and gauge: [m, m]; on the branch pull @ field + gauge @ c = 0.
        lengths: [r, m] the length of c is |lengths @ c|.
    """

    vectors: np.ndarray
    pull: np.ndarray
    gauge: np.ndarray
    lengths: np.ndarray


class Ruler:
    """Lengths of changes of the policy, and of the hyperparameter relative to its range."""

    def __init__(self, search: Search, span: float):
        self.search, self.span = search, span

    def frame(self, point: Point) -> Frame:
        """Return coordinates around a point."""
        d, found = point.theta.size, point.tangents
        if self.search.kind == "parameters":
            r = found.vectors.shape[1]
            spare = -r % PADDED
            vectors, pull = (
                np.pad(found.vectors, ((0, 0), (0, spare))),
                np.pad(found.pull, ((0, spare), (0, 0))),
            )
            return Frame(vectors, pull, np.diag((np.arange(r + spare) >= r) * 1.0), np.eye(r, r + spare))
        keep = np.diag(point.free * 1.0)
        if self.search.kind == "action":
            size = 1.0 + np.linalg.norm(point.theta)
            return Frame(keep, keep, np.eye(d) - keep, found.covectors / size)
        n = self.search.shape[-1]
        weights = (point.weights * point.free).reshape(-1, n)
        share = np.sum(weights, axis=1, keepdims=True)
        weights = weights / np.where(share > 0.0, share, 1.0)
        gauge = np.eye(d) - keep
        for row, w in enumerate(
            weights
        ):  # a common shift of the logits of a row moves nothing, and must stay fixed
            block = slice(n * row, n * (row + 1))
            gauge[block, block] += point.free[block][:, None] * w[None, :]
        return Frame(keep, keep, gauge, found.covectors @ keep)

    def across(self, before: Place, point: Point, frame: Frame) -> np.ndarray:
        """Return the row that measures changes in a frame along the direction of a place."""
        if self.search.kind == "parameters":
            c = np.pad(point.tangents.covectors @ before.along, (0, len(frame.gauge) - len(frame.lengths)))
        else:
            c = before.along * point.free
        return np.append(frame.lengths.T @ (frame.lengths @ c), before.rate / self.span)

    def cosine(self, one: Place, other: Place) -> float:
        """Return the cosine of the angle between two directions, in the metric at the other."""
        row = self.across(one, other.point, self.frame(other.point))
        c = other.along
        if self.search.kind == "parameters":
            c = np.pad(other.point.tangents.covectors @ c, (0, row.size - 1 - len(other.point.tangents.pull)))
        size = np.sqrt(self.squared(one, other.point))
        return float((row[:-1] @ c + row[-1] * other.rate / self.span) / max(size, 1e-300))

    def squared(self, one: Place, point: Point) -> float:
        """Return the square of the length of a direction in the metric at a point."""
        scale = 1.0 + np.linalg.norm(point.theta) if self.search.kind == "action" else 1.0
        inner = point.tangents.covectors @ one.along / scale
        return float(inner @ inner + (one.rate / self.span) ** 2)

    def distance(self, value: float, point: Point, other_value: float, other: Point) -> float:
        """Return the straight distance between two points."""
        if self.search.kind == "action":
            apart = np.linalg.norm(point.theta - other.theta) / (1.0 + np.linalg.norm(point.theta))
        else:
            apart = 2.0 * np.linalg.norm(np.sqrt(point.weights) - np.sqrt(other.weights))
        return float(np.hypot(apart, (value - other_value) / self.span))
