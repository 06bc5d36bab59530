"""The directions in which a policy can move, in its Fisher metric: the same for every parametrisation.

Logits are the wrong coordinates for a policy: adding a constant to those of one state or prompt changes
nothing, and gradients vanish where a probability does. With weights w of the responses and log-probabilities
ℓ, ⟨u, v⟩ = Σ_y w(y) ∂_u ℓ(y) ∂_v ℓ(y). A change that moves no probability is not a direction. An action that
is its own parameter has no such metric; its directions are Euclidean.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from scipy.linalg import interpolative
from scipy.sparse.linalg import LinearOperator

from fpo_jax.errors import InputError
from fpo_jax.responses import log_weights
from fpo_jax.types import Game, Key, Theta

FLOOR = -300.0
"""Log-probability of a response that a policy never gives: e⁻³⁰⁰ is still a number, and so is its
advantage.
"""
SEEN = 1e-30
"""A state or prompt with a smaller share is ignored."""
MOST_PARAMETERS = 2000
"""Most logits or coordinates of an action, since derivatives are taken along all of them; for other
parameters, most directions in which the policy can move.
"""
MOST_SCORES = 2**20
"""Most entries of √w ∂ log w / ∂θ for a full matrix; beyond, products with its square F find directions."""
SHORTER = 0.1
"""Products find directions down to this fraction of the shortest one that counts."""
FLAT = 1e-2
"""Shortest change of log-probabilities, relative to the longest, that counts as a direction far from an
equilibrium: the metric changes fast along weak ones.
"""


class Tangents(NamedTuple):
    """Orthonormal directions at a policy, r of them in d parameters.

    Attributes:
        vectors: [d, r], changes of the flattened θ.
        covectors: [r, d], which measure a change of θ along each direction; a change that moves no policy
            measures 0.
        pull: [r, d], from the field to its components; the field is advantages if θ is logits, else a
            gradient.
    """

    vectors: np.ndarray
    covectors: np.ndarray
    pull: np.ndarray


def kind(game: Game, theta: Theta, key: Key) -> str:
    """Return the kind of θ: `logits`, one for each response; `parameters` of a policy; or an `action`."""
    weights = jax.eval_shape(game.respond, theta, key).w
    is_logits = isinstance(theta, jax.Array | np.ndarray) and theta.size == weights.size
    if game.places is not None and not is_logits:
        return "parameters"
    return "action" if game.places is None else "logits"


def log_policy(weights: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return log π and the share of each row, [rows, n] and [rows], from weights for logits of this shape."""
    rows = np.asarray(weights).reshape(-1, shape[-1])
    share = np.sum(rows, axis=1)
    tiny = np.finfo(rows.dtype).tiny
    ratio = np.maximum(rows, tiny) / np.maximum(share, tiny)[:, None]
    return np.log(ratio), share


def of_logits(weights: np.ndarray, free: np.ndarray, shape: tuple[int, ...]) -> Tangents:
    """Return the tangents of softmax policies, one policy a row of logits, within the free responses.

    With z = √w · v, ⟨u, v⟩ is Euclidean, and a constant in one row points along √w.
    """
    rows = np.asarray(weights).reshape(-1, shape[-1])
    columns, size = [], rows.size
    for number, (w, is_free) in enumerate(zip(rows, free.reshape(rows.shape), strict=True)):
        places = np.flatnonzero(is_free)
        if places.size < 2:
            continue
        across = np.linalg.qr(np.sqrt(w[places])[:, None], mode="complete")[0][:, 1:]
        block = np.zeros((size, places.size - 1))
        block[number * shape[-1] + places] = across
        columns.append(block)
    across = np.concatenate(columns, axis=1) if columns else np.zeros((size, 0))
    root = np.sqrt(np.maximum(rows, np.finfo(rows.dtype).tiny)).reshape(-1, 1)
    return Tangents(across / root, (across * root).T, (across * root).T)


def of_action(free: np.ndarray) -> Tangents:
    """Return the coordinates that are free."""
    unit = np.eye(free.size)[:, free]
    return Tangents(unit, unit.T, unit.T)


def _logs(game: Game, theta: Theta, key: Key) -> tuple[Array, Callable[[Array], Array]]:
    """Return the flattened θ, and log w as a function of it."""
    flat, unravel = ravel_pytree(theta)
    return flat, lambda x: log_weights(game.respond(unravel(x), key).w)


def fisher_product(game: Game, theta: Theta, vector: Array, key: Key) -> Array:
    """Return F v, flattened, F = Σ_y w ∂ log w ∂ log wᵀ."""
    flat, logs = _logs(game, theta, key)
    values, pull = jax.vjp(logs, flat)
    return pull(jnp.exp(values) * jax.jvp(logs, (flat,), (vector,))[1])[0]


fisher_times = jax.jit(fisher_product)
"""Return F v, as `fisher_product`, compiled once."""


@jax.jit
def scores(game: Game, theta: Theta, key: Key) -> Array:
    """Return √w ∂ log w / ∂θ, [n, d]: of π, where the distribution of prompts is fixed."""
    flat, logs = _logs(game, theta, key)
    return jnp.exp(0.5 * logs(flat))[:, None] * jax.jacfwd(logs)(flat)


def of_parameters(root_fisher: np.ndarray, least: float) -> Tangents:
    """Return the tangents of a policy by the singular vectors of √w ∂ log w / ∂θ, F = its square.

    `least` is the length of the shortest, relative to the longest.
    """
    _, lengths, right = np.linalg.svd(root_fisher, full_matrices=False)
    return _of_lengths(lengths, right, least)


def of_products(times: Callable[[np.ndarray], np.ndarray], size: int, least: float) -> Tangents:
    """Return the same, by products with F alone: a randomised interpolative decomposition (scipy).

    The random numbers are the same each time.
    """
    operator: Any = LinearOperator((size, size), matvec=times, rmatvec=times, dtype=float)
    _, squares, right = interpolative.svd(operator, max((SHORTER * least) ** 2, 1e-13), rng=0)
    return _of_lengths(np.sqrt(squares), right.T, least)


def _of_lengths(lengths: np.ndarray, right: np.ndarray, least: float) -> Tangents:
    moves = lengths > least * lengths[0]
    if np.sum(moves) > MOST_PARAMETERS:
        raise InputError("directions of the policy", np.sum(moves), f"<= {MOST_PARAMETERS}")
    right, lengths = right[moves], lengths[moves, None]
    return Tangents((right / lengths).T, right * lengths, right / lengths)
