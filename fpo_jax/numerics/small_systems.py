"""Small dense systems that need no pivoting, solved for many seeds at once.

LAPACK is called anew for every seed of a batch, and such a call costs as much as the arithmetic of a small
system. Here each step of the elimination is one operation on all seeds, which lie in the last axis.
"""

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float

from fpo_jax.numerics.undetached import constant

MOST = 64
"""Unknowns of a system that is solved here; LAPACK takes the larger ones."""
FEWEST = 8
"""Systems at once for which it pays."""
BLOCK = 32
"""Systems that are eliminated together, so that they stay in the cache of a core."""

Vector = Float[Array, " n"]
Matrix = Float[Array, "n n"]


def solve_dominant(matrix: Matrix, right: Vector) -> Vector:
    """Return A⁻¹ b for a matrix that is diagonally dominant by rows or by columns, as I − γ P is; ours.

    Elimination without pivoting is stable then, and the solution is right to the rounding of the condition.
    Differentiable by the theorem: the inverse is computed once, and serves the solution and its derivatives.
    A singular matrix gives what is not finite, and in a batch for its own seed alone.
    """
    if right.size > MOST:
        return jnp.linalg.solve(matrix, right)
    inverse = _traced_once(constant(matrix))
    return jax.lax.custom_linear_solve(
        lambda v: matrix @ v,
        right,
        lambda _, b: inverse @ b,
        lambda _, b: inverse.T @ b,
    )


@custom_vmap
def _inverse(matrix: Matrix) -> Matrix:
    return jnp.linalg.inv(matrix)


@_inverse.def_vmap
def _(lanes: int, batched: list[bool], matrices: Float[Array, "lanes n n"]) -> tuple[Array, bool]:
    if lanes < FEWEST:
        return jax.vmap(jnp.linalg.inv)(matrices), True
    found = jax.lax.platform_dependent(
        matrices, cpu=_inverses, default=lambda matrices: jax.vmap(jnp.linalg.inv)(matrices)
    )
    return found, True


_traced_once = jax.jit(_inverse)
"""So that the same inverse, wherever it is asked for, is one operation, which `scan` computes once."""


def _inverses(matrices: Float[Array, "lanes n n"]) -> Float[Array, "lanes n n"]:
    """Return the inverses of many matrices, block by block."""
    lanes, n, _ = matrices.shape
    missing = -lanes % BLOCK
    filled = jnp.concatenate([matrices, jnp.broadcast_to(jnp.eye(n, dtype=matrices.dtype), (missing, n, n))])
    blocks = jnp.moveaxis(filled.reshape(-1, BLOCK, n, n), 1, -1)
    found = jnp.moveaxis(jax.lax.map(_eliminated, blocks), -1, 1)
    return found.reshape(-1, n, n)[:lanes]


def _eliminated(matrices: Float[Array, "n n lanes"]) -> Float[Array, "n n lanes"]:
    """Return the inverses of matrices, lanes last, by Gauss and Jordan's elimination in place.

    Step k takes M to M − (M e_k − e_k) (e_kᵀ M + e_kᵀ) / M_kk.
    """
    unit = jnp.eye(matrices.shape[0], dtype=matrices.dtype)

    def step(k: Array, m: Array) -> Array:
        row, column, e = m[k], m[:, k], unit[k][:, None]
        # kept apart, so that they are computed once and not for every element
        rows, columns = jax.lax.optimization_barrier(((row + e) * (1.0 / row[k])[None], column - e))
        return m - columns[:, None] * rows[None]

    return jax.lax.fori_loop(0, matrices.shape[0], step, matrices)
