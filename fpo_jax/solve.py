"""Solving H v = b for a Hessian that is known only through its products: what an implicit gradient costs."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fpo_jax.types import Cost, Scalar

Vector = Float[Array, " n"]
Product = Callable[[Vector], Vector]

UNROLLED = 4
"""Most unknowns of a linear system that is solved without LAPACK."""

POWER_STEPS = 20
"""Products spent on the largest curvature, where a Neumann series is not told its step."""


class Limits(NamedTuple):
    """How far a solve goes.

    Attributes:
        tolerance: relative residual at which CG stops.
        terms: terms of the Neumann series, and the most iterations of CG.
        neumann_step: step η of the Neumann series; 0 for one over the largest curvature.
    """

    tolerance: float | Scalar
    terms: int
    neumann_step: float | Scalar


def solve_positive(matrix: Float[Array, "n n"], b: Vector) -> Vector:
    """Return H⁻¹ b for a symmetric positive definite H, by Cholesky; NaN where H is not positive definite.

    Up to `UNROLLED` unknowns the arithmetic is written out, and goes along the batch: LAPACK is called anew
    for every seed, and the call takes longer than such a system.
    """
    n = b.size
    if n > UNROLLED:
        return jax.scipy.linalg.solve(matrix, b, assume_a="pos")
    factor: list[list[Array]] = []
    forward: list[Array] = []
    for i in range(n):
        row: list[Array] = []
        for j in range(i):
            row.append((matrix[i, j] - _dot(row, factor[j])) / factor[j][j])
        row.append(jnp.sqrt(matrix[i, i] - _dot(row, row)))
        forward.append((b[i] - _dot(row, forward)) / row[i])
        factor.append(row)
    backward: list[Array] = []
    for i in reversed(range(n)):
        column = [factor[k][i] for k in reversed(range(i + 1, n))]
        backward.append((forward[i] - _dot(column, backward)) / factor[i][i])
    return jnp.stack(backward[::-1])


def _dot(a: list[Array], b: list[Array]) -> Array | float:
    return sum((x * y for x, y in zip(a, b, strict=False)), start=0.0)


class Solution(NamedTuple):
    """v, the products with H and the iterations it took, and the relative residual the method promises."""

    v: Vector
    products: Array
    iterations: Array
    promised: float | Scalar


def _dense(product: Product, b: Vector, limits: Limits) -> Solution:
    """Form H, one product for each column, and solve by Cholesky: fails unless H is positive definite."""
    hessian = jax.vmap(product)(jnp.eye(b.size, dtype=b.dtype))
    v = solve_positive(hessian, b)
    return Solution(v, jnp.asarray(b.size), jnp.asarray(1), jnp.inf)


def _cg(product: Product, b: Vector, limits: Limits) -> Solution:
    """Conjugate gradients: at most n iterations in exact arithmetic, fewer where curvatures cluster."""
    import lineax as lx  # slow to import, and most runs need none

    operator = lx.FunctionLinearOperator(product, jax.eval_shape(lambda: b), lx.positive_semidefinite_tag)
    size = jnp.linalg.norm(b)
    unit = b / jnp.where(size > 0, size, 1.0)
    # lineax scales tolerances entry by entry: an absolute one on a unit vector is the relative one we mean
    solver = lx.CG(rtol=0.0, atol=limits.tolerance, norm=jnp.linalg.norm, max_steps=limits.terms)
    solution = lx.linear_solve(operator, unit, solver, throw=False)
    steps = jnp.where(size > 0, jnp.asarray(solution.stats["num_steps"]), 0)
    v = jnp.where(size > 0, size * solution.value, 0.0)
    return Solution(v, steps, steps, 10.0 * limits.tolerance)


def _neumann(product: Product, b: Vector, limits: Limits) -> Solution:
    """v = η Σ_{j < terms} (I − η H)ʲ b: its error falls by the spectral radius of I − η H with each term."""
    step = jnp.asarray(limits.neumann_step, b.dtype)

    def grow(direction: Vector, _: None) -> tuple[Vector, Scalar]:
        grown = product(direction)
        size = jnp.linalg.norm(grown)
        return grown / jnp.where(size > 0, size, 1.0), size

    _, sizes = jax.lax.scan(grow, jnp.full_like(b, b.size**-0.5), None, length=POWER_STEPS)
    step = jnp.where(step > 0, step, 1.0 / jnp.where(sizes[-1] > 0, sizes[-1], 1.0))
    v = jax.lax.fori_loop(0, limits.terms, lambda _, v: v + step * (b - product(v)), jnp.zeros_like(b))
    return Solution(v, jnp.asarray(limits.terms + POWER_STEPS), jnp.asarray(limits.terms), 1.0)


SOLVERS: Mapping[str, Callable[[Product, Vector, Limits], Solution]] = {
    "dense": _dense,
    "cg": _cg,
    "neumann": _neumann,
}
"""dense: exact, n products. cg: to a tolerance. neumann: a series, whose truncation is the approximation."""


def solve(solver: str, product: Product, b: Vector, limits: Limits) -> tuple[Vector, Cost]:
    """Return v with H v = b, and what it cost.

    Args:
        solver: name in `SOLVERS`.
        product: v ↦ H v, symmetric.
        b: [n] right-hand side.
        limits: how far to go.

    v is NaN where the method fails: Cholesky of a matrix that is not positive definite, CG that does not
    reach its tolerance, a Neumann series that diverges. The cost then still has iterations and residual.
    """
    solution = SOLVERS[solver](product, b, limits)
    size = jnp.linalg.norm(b)
    residual = jnp.linalg.norm(product(solution.v) - b) / jnp.where(size > 0, size, 1.0)
    cost = Cost(solution.products, solution.iterations, residual)
    kept = jnp.isfinite(residual) & (residual <= solution.promised)
    return jnp.where(kept, solution.v, jnp.nan), cost
