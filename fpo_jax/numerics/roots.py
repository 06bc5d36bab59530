"""Roots by optimistix, which is imported only when needed, because importing it takes long."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import optimistix as optx
from jaxtyping import Array, Float

from fpo_jax.numerics.linear_solve import solve_positive

Vector = Float[Array, " n"]
Slope = Callable[[Vector], Vector]


def convex(slope: Slope, start: Vector) -> Vector:
    """Return the root of a convex loss's slope by Newton's method in a trust region.

    NaN if the root is not reached, or if the curvature there is so close to singular that rounding decides.
    """
    digits = 100.0 * float(jnp.finfo(start.dtype).eps)
    newton: Any = TrustedNewton
    solver = newton(rtol=digits, atol=digits, linear_solver=DenseSolver(solve_positive))
    found: Any = optx.least_squares(lambda p, _: slope(p), solver, start, max_steps=100, throw=False)
    near = jnp.where(found.result == optx.RESULTS.successful, found.value, jnp.nan)
    return near - solve_positive(jax.jacfwd(slope)(near), slope(near))


def polished(slope: Slope, start: Vector, digits: Any) -> Vector:
    """Return a nearby root, after at most 20 steps of Newton's method."""
    newton: optx.Newton = optx.Newton(rtol=digits, atol=digits, linear_solver=DenseSolver(jnp.linalg.solve))
    return optx.root_find(lambda p, _: slope(p), newton, start, max_steps=20, throw=False).value


def bracketed(
    rises: Callable[[Array, Any], Array], start: Array, parameters: Any, ends: Mapping[str, Array]
) -> Array:
    """Return the root of an increasing function between two ends, by bisection to the last digits.

    The implicit function theorem gives its derivative in the parameters.
    """
    digits = 4.0 * float(jnp.finfo(start.dtype).eps)
    bisection: Any = optx.Bisection
    return optx.root_find(
        rises,
        bisection(rtol=digits, atol=digits, flip=False),
        jax.lax.stop_gradient(start),
        args=parameters,
        options=dict(ends),
        max_steps=200,
        throw=False,
    ).value


class TrustedNewton(optx.Dogleg):
    """Dogleg that stops one Newton step before a root, or where rounding prevents further progress.

    Dogleg itself takes that step, and rejects it as long as rounding keeps the slope from shrinking.
    """

    def terminate(
        self, fn: Any, y: Vector, args: Any, options: dict[str, Any], state: Any, tags: frozenset[object]
    ) -> tuple[Array, Any]:
        """Say whether the next step is within the tolerance, or a step was rejected at such a slope."""
        step, slope = state.descent_state.newton, state.f_info.residual
        arrived = self.norm(step / (self.atol + self.rtol * jnp.abs(y))) < 1.0
        stuck = (state.num_steps_since_acceptance > 0) & (self.norm(slope) < self.atol)
        return ~state.first_step & (arrived | stuck), state.result


class DenseSolver(lx.AbstractLinearSolver):
    """H v = b for a vector b by a dense solve, on any number of devices.

    Lineax's solvers compare structures, which differ in sharding when seeds are spread over devices.
    """

    solve: Callable[[Array, Vector], Vector]

    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> Array:
        """Return the matrix of the operator."""
        return operator.as_matrix()

    def compute(self, state: Array, vector: Vector, options: dict[str, Any]) -> tuple[Vector, Any, dict]:
        """Return the solution; not finite if the matrix is singular."""
        return self.solve(state, vector), lx.RESULTS.successful, {}

    def transpose(self, state: Array, options: dict[str, Any]) -> tuple[Array, dict]:
        """Return the transposed matrix."""
        return state.T, {}

    def conj(self, state: Array, options: dict[str, Any]) -> tuple[Array, dict]:
        """Return the matrix itself, which is real."""
        return state, {}

    def assume_full_rank(self) -> bool:
        """Say that it assumes a regular matrix."""
        return True
