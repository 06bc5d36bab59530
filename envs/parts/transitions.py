"""Transition probabilities of a tabular process, held in one of two ways: as a table, or as branches.

Both compute the expected value one step ahead, (P V)(s, a) = Σ_s' P(s' | s, a) V(s'), which defines all else.
Under a policy this is the linear map V ↦ P_π V, and its transpose moves a distribution over states one step
on. A table is solved by elimination. Branches never form an S × S matrix: their solve is iterative, and costs
as much as there are transitions times the iterations.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import struct
from jax.scipy.sparse.linalg import gmres
from jaxtyping import Array, Float, Int

from fpo_jax.numerics.small_systems import solve_dominant
from fpo_jax.numerics.undetached import constant
from fpo_jax.types import Key, Scalar

States = Float[Array, " states"]
Policy = Float[Array, "states actions"]
State = Int[Array, ""]

TOLERANCE_IN_ROUNDINGS = 100.0
"""Relative residual at which the iterative solve stops, in units of the dtype's rounding."""
RESTART, MOST_RESTARTS = 50, 10
"""Vectors that the iterative solve keeps, and how often it may start anew."""


class Transitions(ABC):
    """P(s' | s, a) of a process with S states and A actions."""

    probabilities: Float[Array, "states actions branches"]  # rows sum to 1

    @abstractmethod
    def ahead(self, values: States) -> Policy:
        """Return (P V)(s, a) = Σ_s' P(s' | s, a) V(s')."""
        ...

    @abstractmethod
    def solve(
        self, policy: Policy, discount: float | Scalar, right: States, transpose: bool = False
    ) -> States:
        """Return (I − γ P_π)⁻¹ right, or (I − γ P_πᵀ)⁻¹ right; differentiable. NaN where it fails."""
        ...

    @abstractmethod
    def successor(self, key: Key, state: State, action: State) -> State:
        """Draw s' ~ P(· | s, a)."""
        ...

    def ahead_under(self, policy: Policy, values: States) -> States:
        """Return (P_π V)(s) = Σ_a π(a | s) (P V)(s, a)."""
        return jnp.sum(policy * self.ahead(values), axis=1)

    def push(self, policy: Policy, distribution: States) -> States:
        """Return P_πᵀ d, the distribution over states one step after d."""
        (pushed,) = jax.linear_transpose(lambda v: self.ahead_under(policy, v), distribution)(distribution)
        return pushed


@struct.dataclass
class Table(Transitions):
    """All probabilities in one array; a solve is one elimination, S³ operations.

    Attributes:
        probabilities: [states, actions, states] P[s, a, s'], rows summing to 1.
    """

    probabilities: Float[Array, "states actions states"]

    def ahead(self, values: States) -> Policy:
        """Return (P V)(s, a)."""
        return self.probabilities @ values

    def solve(
        self, policy: Policy, discount: float | Scalar, right: States, transpose: bool = False
    ) -> States:
        """Return (I − γ P_π)⁻¹ right, or its transpose's, by elimination."""
        under_policy = jnp.sum(policy[:, :, None] * self.probabilities, axis=1)
        matrix = jnp.eye(right.size, dtype=right.dtype) - discount * under_policy
        return solve_dominant(matrix.T if transpose else matrix, right)

    def successor(self, key: Key, state: State, action: State) -> State:
        """Draw s' ~ P(· | s, a)."""
        return _draw(key, self.probabilities[state, action])


@struct.dataclass
class Branches(Transitions):
    """The few states that each pair leads to; a solve is matrix-free.

    Memory and the cost of an iteration grow with S · A · B, the number of transitions. GMRES is followed by
    the contraction d ← (1 − γ)ρ + γ P_πᵀ d, which needs 2.3 / (1 − γ) iterations a digit but always
    converges. The solution is accurate to 100 roundings of its norm, not of each entry. An entry far below
    the norm, such as the visits to a cell that is hardly ever reached, has fewer correct digits than by
    elimination.

    Attributes:
        successors: [states, actions, branches] where a pair may lead; a state may stand there twice.
        probabilities: [states, actions, branches], summing to 1 over branches.
    """

    successors: Int[Array, "states actions branches"]
    probabilities: Float[Array, "states actions branches"]

    def ahead(self, values: States) -> Policy:
        """Return (P V)(s, a)."""
        return jnp.sum(self.probabilities * values[self.successors], axis=2)

    def solve(
        self, policy: Policy, discount: float | Scalar, right: States, transpose: bool = False
    ) -> States:
        """Return (I − γ P_π)⁻¹ right, or its transpose's, to 100 roundings."""

        def one_less_discounted(x: States) -> States:
            step = self.push if transpose else self.ahead_under
            return x - discount * step(policy, x)

        # the same iteration solves the transposed system, for a gradient
        iterate = partial(_iterate, discount=constant(discount))
        return jax.lax.custom_linear_solve(one_less_discounted, right, iterate, iterate)

    def successor(self, key: Key, state: State, action: State) -> State:
        """Draw s' ~ P(· | s, a)."""
        return self.successors[state, action, _draw(key, self.probabilities[state, action])]

    def table(self) -> Table:
        """Return the same probabilities as one table."""
        states, actions, _ = self.successors.shape
        pairs = jnp.ix_(jnp.arange(states), jnp.arange(actions), jnp.zeros(1, int))[:2]
        empty = jnp.zeros((states, actions, states), self.probabilities.dtype)
        return Table(empty.at[(*pairs, self.successors)].add(self.probabilities))


def _draw(key: Key, probabilities: Float[Array, " n"]) -> State:
    return jax.random.choice(key, probabilities.size, p=probabilities)


def _iterate(matvec: Callable[[States], States], right: States, *, discount: float | Scalar) -> States:
    """Solve matvec(x) = right, or return NaN, so that a failure cannot be mistaken for a solution.

    GMRES is quick, but stalls on long chains. The update x ← x + residual then contracts the remaining error
    by γ each time.
    """
    size = jnp.linalg.norm(right)  # GMRES treats a vector shorter than one rounding as zero
    unit = right / jnp.where(size > 0, size, 1.0)
    rounding = float(jnp.finfo(right.dtype).eps)
    tolerance = TOLERANCE_IN_ROUNDINGS * rounding
    guess, _ = gmres(
        matvec, unit, tol=tolerance, restart=RESTART, maxiter=MOST_RESTARTS, solve_method="incremental"
    )
    most = 40.0 / (1.0 - discount)  # γ to this power is below 1e-17

    def residual(x: States) -> States:
        return unit - matvec(x)

    def unfinished(carry: tuple[States, States, Scalar]) -> Array:
        _, left, steps = carry
        return (jnp.linalg.norm(left) > tolerance) & (steps < most)

    def contract(carry: tuple[States, States, Scalar]) -> tuple[States, States, Scalar]:
        x, left, steps = carry
        return x + left, residual(x + left), steps + 1.0

    first = (guess, residual(guess), jnp.zeros((), right.dtype))
    solution, left, _ = jax.lax.while_loop(unfinished, contract, first)
    attainable = 10.0 * tolerance / (1.0 - discount)
    return jnp.where(jnp.linalg.norm(left) <= attainable, size * solution, jnp.nan)
