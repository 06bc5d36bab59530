"""The derivative of one whole iteration of a run at an equilibrium, and its eigenvalues."""

from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from scipy.sparse.linalg import LinearOperator, eigs

from fpo_jax import tangents as directions
from fpo_jax.field import Players
from fpo_jax.numerics.undetached import undetached
from fpo_jax.run import iterate
from fpo_jax.stationary import PADDED, NoEquilibrium, Point, Search
from fpo_jax.types import RewardModel, State, Theta

DENSE = 600
"""Most directions for a full matrix of derivatives; beyond, Arnoldi's method finds the leading
eigenvalues.
"""
LEADING = 8
"""How many eigenvalues Arnoldi's method finds."""


@jax.jit
def pushed(
    players: Players, theta: Theta, model: RewardModel, along: tuple[Array, Array]
) -> tuple[Array, tuple[Array, Array]]:
    """Return the flattened θ⁺, and the changes of (θ⁺, φ⁺) along each of [m, d + p] changes of (θ, φ)."""
    game, leader, follower, _, key, earlier = players
    flat, unravel = ravel_pytree(theta)
    phi, unravel_phi = ravel_pytree(model.phi)

    def once(x: Array, p: Array) -> tuple[Array, Array]:
        state = State(unravel(x), RewardModel(unravel_phi(p), model.memory), earlier)
        after = iterate(game, leader, follower, state, key, 0.0)
        return ravel_pytree(after.theta)[0], ravel_pytree(after.reward_model.phi)[0]

    after = once(flat, phi)[0]
    return after, jax.vmap(lambda v: jax.jvp(undetached(once), (flat, phi), v)[1])(along)


def eigenvalues(search: Search, point: Point, model: RewardModel) -> np.ndarray:
    """Return the eigenvalues of one iteration along the policy's tangents and in φ, largest first.

    A response that is held off the support contributes the factor by which an iteration changes its
    probability.

    Raises:
        NoEquilibrium: when an iteration has no derivative.
    """
    vectors, covectors, _ = point.tangents
    d, r = vectors.shape
    p = ravel_pytree(model.phi)[0].size
    theta = search.as_theta(point.theta)

    def push(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        along = (vectors @ columns[:r]).T, columns[r:].T
        after, (by_theta, by_phi) = pushed(search.players, theta, model, along)
        changes = np.concatenate([covectors @ np.asarray(by_theta).T, np.asarray(by_phi).T])
        if not np.all(np.isfinite(changes)):
            allowed = "finite, but an iteration has no derivative at this equilibrium"
            raise NoEquilibrium("derivative of an iteration", "not finite", allowed, point.residual)
        return np.asarray(after), changes

    if r + p <= DENSE:
        # one program, whatever is held; as many directions at once as fit into memory
        at_once = PADDED if search.kind == "parameters" else d + p
        wide = np.eye(r + p, -(-(r + p) // at_once) * at_once)
        parts = [push(wide[:, i : i + at_once]) for i in range(0, wide.shape[1], at_once)]
        after, matrix = parts[0][0], np.concatenate([pushed for _, pushed in parts], axis=1)
        values = np.linalg.eigvals(matrix[:, : r + p])
    else:
        after, _ = push(np.zeros((r + p, 1)))
        operator: Any = LinearOperator(
            (r + p, r + p), matvec=lambda v: push(v.reshape(-1, 1))[1][:, 0], dtype=vectors.dtype
        )
        values = eigs(operator, k=LEADING, return_eigenvectors=False, v0=np.ones(r + p))
    values = np.concatenate([values, _factors(search, point, after)])
    return values[np.argsort(-np.abs(values), kind="stable")]


def _factors(search: Search, point: Point, after: np.ndarray) -> np.ndarray:
    """Return p⁺ / p of each response held off the support, in states or prompts that are visited."""
    if search.kind != "logits":
        return np.zeros(0)
    logs, share = directions.log_policy(point.weights, search.shape)
    change = (after - point.theta).reshape(logs.shape)
    mean = np.sum(np.exp(logs) * change, axis=1, keepdims=True)  # all responses on the support change alike
    held = ~point.free.reshape(logs.shape) & (share > directions.SEEN)[:, None]
    return np.exp(change - mean)[held]
