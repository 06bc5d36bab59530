"""Small dense systems that need no pivoting, solved for many seeds at once.

LAPACK is called anew for every seed of a batch, and a call costs as much as the arithmetic of a small system.
Here each step of the elimination is one operation on all seeds, which are in the last axis.
"""

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float

from fpo_jax.numerics.undetached import constant

MOST = 64
"""Most unknowns of a system solved here; LAPACK solves larger ones."""
FEWEST = 8
"""Fewest systems at once for which this pays off."""
BLOCK = 32
"""Systems eliminated together, so that they stay in the cache of a core."""

Vector = Float[Array, " n"]
Matrix = Float[Array, "n n"]


def solve_dominant(matrix: Matrix, right: Vector) -> Vector:
    """Return A⁻¹ b for a matrix that is diagonally dominant by rows or columns, such as I − γ P (ours).

    Elimination without pivoting is then stable, and the error is the condition times rounding. It is
    differentiable: the inverse is computed once, for the solution and its derivatives. A singular matrix
    gives values that are not finite, and in a batch only for its own seed.
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
"""One operation for the same inverse wherever it is used, so that `scan` computes it once."""


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
        # separate, so that they are computed once and not for every element
        rows, columns = jax.lax.optimization_barrier(((row + e) * (1.0 / row[k])[None], column - e))
        return m - columns[:, None] * rows[None]

    return jax.lax.fori_loop(0, matrices.shape[0], step, matrices)
