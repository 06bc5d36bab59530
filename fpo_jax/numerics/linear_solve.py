"""Solve H v = b for a Hessian known only through its products: the cost of an implicit gradient."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fpo_jax.numerics.undetached import constant
from fpo_jax.types import Cost, Scalar

Vector = Float[Array, " n"]
Product = Callable[[Vector], Vector]
Solve = Callable[[Vector], Vector]

UNROLLED = 4
"""Most unknowns of a linear system solved without LAPACK."""

POWER_STEPS = 20
"""Products used to estimate the largest curvature."""

AGAIN = 20
"""Maximum iterations of the second solve, from which conjugate gradients estimate the condition."""

STATIONARY_ENOUGH = 1e-3
"""A relative slope, ‖∂L/∂φ‖ at an answer over that at its anchor, up to this size counts as rounding."""

SPOILT = 1e-2
"""Largest relative error by rounding, condition × eps, at which a solution is accepted."""


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
    """Return H⁻¹ b for a symmetric positive definite H, by Cholesky.

    NaN where H is not positive definite, or so nearly singular that rounding spoils the solution (`trust`); a
    residual at rounding then says nothing about the error.

    Up to `UNROLLED` unknowns the arithmetic is written out and runs along the batch. LAPACK would be called
    anew for every seed, and the call takes longer than such a system.
    """
    chex.assert_shape(matrix, (b.size, b.size))
    solve, trace = _solver(matrix)
    return solve(b) * _trust(matrix, trace)


def trust(matrix: Float[Array, "n n"]) -> Scalar:
    """Return 1 if a system in H can be solved, NaN if H is not positive definite or rounding decides.

    The forward error of a solution is up to condition × eps, whatever its residual. H is scaled to a diagonal
    of ones, since the units of unknowns do no harm (van der Sluis). The condition is estimated as ‖H‖₁
    tr(H⁻¹). The trace lies between the largest eigenvalue of H⁻¹ and n times that value, close to the
    eigenvalue if one direction is weak.
    """
    return _trust(matrix, _solver(matrix)[1])


def _trust(matrix: Float[Array, "n n"], trace: Scalar) -> Scalar:
    fixed = constant(matrix)
    scale = jax.lax.rsqrt(jnp.diagonal(fixed))
    norm = jnp.max(jnp.sum(jnp.abs(fixed * scale[:, None] * scale[None, :]), axis=0))
    return _trusted(norm * constant(trace)).astype(matrix.dtype)


def _trusted(condition: Scalar) -> Scalar:
    return jnp.where(condition * jnp.finfo(condition.dtype).eps <= SPOILT, 1.0, jnp.nan)


def _solver(matrix: Float[Array, "n n"]) -> tuple[Solve, Scalar]:
    """Return b ↦ H⁻¹ b by a Cholesky factor, H = L Lᵀ, and tr(H⁻¹) of H scaled to a diagonal of ones.

    Not finite where H is not positive definite. The trace is Σ_ij (L⁻¹)_ij² H_jj.
    """
    n, diagonal = matrix.shape[0], jnp.diagonal(matrix)
    if n > UNROLLED:
        factor = jnp.linalg.cholesky(constant(matrix))
        inverse = jax.lax.linalg.triangular_solve(
            factor, jnp.eye(n, dtype=matrix.dtype), left_side=True, lower=True
        )
        times = partial(jnp.matmul, precision="highest")

        def solved(b: Vector) -> Vector:
            return jax.lax.custom_linear_solve(
                lambda v: matrix @ v,
                b,
                lambda _, right: times(inverse.T, times(inverse, right)),
                symmetric=True,
            )

        return solved, jnp.sum(inverse**2 * diagonal[None, :])
    rows = _factored(matrix)

    def substituted(b: Vector) -> Vector:
        forward, backward = _forward(rows, b), list[Array]()
        for i in reversed(range(n)):
            column = [rows[k][i] for k in reversed(range(i + 1, n))]
            backward.append((forward[i] - _dot(column, backward)) / rows[i][i])
        return jnp.stack(backward[::-1])

    columns = [_forward(rows, list(unit)) for unit in jnp.eye(n, dtype=matrix.dtype)]
    squares = [sum(x**2 for x in column) * diagonal[j] for j, column in enumerate(columns)]
    return substituted, jnp.asarray(sum(squares))


def _factored(matrix: Float[Array, "n n"]) -> list[list[Array]]:
    """Return the rows of L, H = L Lᵀ, up to their diagonal, written out."""
    rows: list[list[Array]] = []
    for i in range(matrix.shape[0]):
        row: list[Array] = []
        for j in range(i):
            row.append((matrix[i, j] - _dot(row, rows[j])) / rows[j][j])
        row.append(jnp.sqrt(matrix[i, i] - _dot(row, row)))
        rows.append(row)
    return rows


def _forward(rows: list[list[Array]], b: list[Array] | Array) -> list[Array]:
    """Return L⁻¹ b, written out."""
    found: list[Array] = []
    for i, row in enumerate(rows):
        found.append((b[i] - _dot(row, found)) / row[i])
    return found


def cholesky(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return the lower triangular L with H = L Lᵀ, detached: for many products ⟨a, H⁻¹ b⟩ by `whitened`.

    NaN where H is not positive definite, or so nearly singular that rounding spoils a solution, as far as the
    pivots show it: Σ_j 1 / L_jj² bounds tr(H⁻¹) from below. Up to `UNROLLED` rows it is written out.
    """
    fixed = jax.lax.stop_gradient(matrix)
    n, diagonal = matrix.shape[0], jnp.diagonal(fixed)
    if n > UNROLLED:
        lower = jnp.linalg.cholesky(fixed)
    else:
        zero = jnp.zeros_like(fixed[0, 0])
        lower = jnp.stack([jnp.stack([*row, *[zero] * (n - len(row))]) for row in _factored(fixed)])
    return lower * _trust(fixed, jnp.sum(diagonal / jnp.diagonal(lower) ** 2))


def whitened(lower: Float[Array, "n n"], b: Vector) -> Vector:
    """Return L⁻¹ b, so that ⟨whitened a, whitened b⟩ = ⟨a, H⁻¹ b⟩ for the L of `cholesky`."""
    n = b.size
    chex.assert_shape(lower, (n, n))
    if n <= UNROLLED:
        return jnp.stack(_forward([[lower[i, j] for j in range(i + 1)] for i in range(n)], b))
    return jax.lax.linalg.triangular_solve(lower, b[:, None], left_side=True, lower=True)[:, 0]


def largest_curvature(product: Product, like: Vector) -> Scalar:
    """Return the largest eigenvalue of H to a few digits, from below, by `POWER_STEPS` products."""

    def grow(direction: Vector, _: None) -> tuple[Vector, Scalar]:
        grown = product(direction)
        size = jnp.linalg.norm(grown)
        return grown / jnp.where(size > 0, size, 1.0), size

    first = 1.0 + 0.5 * jnp.cos(jnp.arange(like.size, dtype=like.dtype))  # orthogonal to no natural direction
    _, sizes = jax.lax.scan(grow, first / jnp.linalg.norm(first), None, length=POWER_STEPS)
    return sizes[-1]


def _dot(a: list[Array], b: list[Array]) -> Array | float:
    return sum((x * y for x, y in zip(a, b, strict=False)), start=0.0)


class Solution(NamedTuple):
    """The result of a method.

    Attributes:
        v: the solution.
        products: number of products with H.
        iterations: number of iterations.
        promised: the relative residual that the method promises.
        condition: an estimate of the condition of H, from below; 0 if the method makes none.
    """

    v: Vector
    products: Array
    iterations: Array
    promised: float | Scalar
    condition: Scalar | float = 0.0


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
    # v leans to where H is weakest, and H⁻¹ v leans there more: one step of the inverse power method
    longest = jnp.linalg.norm(solution.value)
    leaning = solution.value / jnp.where(longest > 0, longest, 1.0)
    few = lx.CG(rtol=0.0, atol=1e-3, norm=jnp.linalg.norm, max_steps=AGAIN)
    again = lx.linear_solve(operator, leaning, few, throw=False)
    condition = jnp.linalg.norm(again.value) * largest_curvature(product, b)
    products = steps + jnp.where(size > 0, jnp.asarray(again.stats["num_steps"]) + POWER_STEPS, 0)
    return Solution(v, products, steps, 10.0 * limits.tolerance, condition)


def _neumann(product: Product, b: Vector, limits: Limits) -> Solution:
    """v = η Σ_{j < terms} (I − η H)ʲ b: its error falls by the spectral radius of I − η H with each term."""
    step, largest = jnp.asarray(limits.neumann_step, b.dtype), largest_curvature(product, b)
    step = jnp.where(step > 0, step, 1.0 / jnp.where(largest > 0, largest, 1.0))
    v = jax.lax.fori_loop(0, limits.terms, lambda _, v: v + step * (b - product(v)), jnp.zeros_like(b))
    return Solution(v, jnp.asarray(limits.terms + POWER_STEPS), jnp.asarray(limits.terms), 1.0)


SOLVERS: Mapping[str, Callable[[Product, Vector, Limits], Solution]] = {
    "dense": _dense,
    "cg": _cg,
    "neumann": _neumann,
}
"""dense: exact, n products. cg: to a tolerance. neumann: a series, whose truncation is the approximation."""


def solve(solver: str, product: Product, b: Vector, limits: Limits) -> tuple[Vector, Cost]:
    """Return v with H v = b, and its cost.

    Args:
        solver: name in `SOLVERS`.
        product: v ↦ H v, symmetric.
        b: [n] right-hand side.
        limits: how far to go.

    v is NaN where the method fails: Cholesky of a matrix that is not positive definite, CG that does not
    reach its tolerance, a Neumann series that diverges. It is also NaN where H is so close to singular that
    rounding may exceed `SPOILT` of v, as far as the method can tell. The dense method knows the condition,
    and CG estimates it. A Neumann series, an approximation by its number of terms, does not check it. Even
    then the cost has iterations and residual.
    """
    solution = SOLVERS[solver](product, b, limits)
    size = jnp.linalg.norm(b)
    residual = jnp.linalg.norm(product(solution.v) - b) / jnp.where(size > 0, size, 1.0)
    cost = Cost(solution.products, solution.iterations, residual)
    kept = jnp.isfinite(residual) & (residual <= solution.promised)
    trusted = _trusted(jnp.asarray(solution.condition, b.dtype))
    return jnp.where(kept, solution.v, jnp.nan) * trusted, cost
