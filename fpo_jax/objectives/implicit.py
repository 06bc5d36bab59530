"""The exact gradient at a best response by the implicit function theorem (paper, Thm.)."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from fpo_jax.errors import InputError
from fpo_jax.expect import evaluate
from fpo_jax.hyperparameters import choice, count, kebab, real
from fpo_jax.numerics.linear_solve import SOLVERS, Limits, solve
from fpo_jax.objectives.directed import Directed
from fpo_jax.steering import Decomposition, foresight_keys
from fpo_jax.types import Cost, Estimate, Follower, Game, Key, Phi, RewardModel, Scalar, Theta


class Linearised(NamedTuple):
    """The ingredients of the implicit function theorem at φ⁺, all constant in θ.

    Attributes:
        phi: φ⁺, flattened.
        unravel: restores the shape of a flattened φ.
        sensitivity: v = H⁻¹ ∂J/∂φ, flattened, with H = ∂²L/∂φ².
        cost: of the solve.
    """

    phi: Float[Array, " n"]
    unravel: Callable[[Float[Array, " n"]], Phi]
    sensitivity: Float[Array, " n"]
    cost: Cost


@struct.dataclass
class Implicit(Directed):
    """dF/dθ at a best response by the implicit function theorem (paper, Thm.).

    steering = −(∂J/∂φ)ᵀ [∂²L/∂φ²]⁻¹ ∂²L/∂φ∂θ, using only Hessian-vector products unless the solver is dense.
    Damping replaces H by H + damping · I: it makes an indefinite Hessian usable, and the answer approximate.
    The answer is also approximate if φ⁺ is not a stationary point, as after a few steps of an optimiser; this
    is the influence function used in practice. `Cost.slope` says how far φ⁺ is from a stationary point.
    """

    solves: ClassVar[bool] = True

    solver: str = choice("dense", "how to solve H v = ∂J/∂φ", tuple(SOLVERS))
    damping: float = real(0.0, "added to the Hessian's diagonal", low=0.0)
    tolerance: float = real(1e-12, "relative residual at which CG stops", low=0.0, high=1.0)
    terms: int = count(1000, "terms of the Neumann series; maximum iterations of CG")
    neumann_step: float = real(
        0.0, "step η of the Neumann series; 0 is one over the largest curvature", low=0.0
    )

    def estimate(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Estimate:
        """Return standard + steering and the cost of the solve; NaN where the solve fails.

        Raises:
            InputError: when the follower's update minimises no loss, so that the theorem does not apply.
        """
        parts, cost = self.decompose(game, follower, theta, reward_model, key)
        return Estimate(parts.gradient, cost)

    def decompose(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> tuple[Decomposition, Cost]:
        """Return the two parts of dF/dθ, and the cost of the solve."""
        at = self.linearise(game, follower, theta, reward_model, key)
        keys = foresight_keys(key)
        standard = jax.grad(evaluate, argnums=1)(game, theta, at.unravel(at.phi), keys.evaluation)

        def slope(t: Theta) -> Scalar:
            loss = minimised_loss(follower, game, t, reward_model, keys.data)
            return -jax.jvp(loss, (at.phi,), (at.sensitivity,))[1]

        return Decomposition(standard, jax.grad(slope)(theta)), at.cost

    def linearise(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Linearised:
        """Solve for the sensitivity v = H⁻¹ ∂J/∂φ at the best response to π_θ."""
        keys = foresight_keys(key)
        loss = minimised_loss(follower, game, theta, reward_model, keys.data)
        phi, unravel = ravel_pytree(follower.update(game, theta, reward_model, keys.data).phi)
        right = jax.grad(lambda p: evaluate(game, theta, unravel(p), keys.evaluation))(phi)

        def product(v: Float[Array, " n"]) -> Float[Array, " n"]:
            return jax.jvp(jax.grad(loss), (phi,), (v,))[1] + self.damping * v

        limits = Limits(self.tolerance, self.terms, self.neumann_step)
        sensitivity, cost = solve(self.solver, product, right, limits)
        slope = jnp.linalg.norm(jax.grad(loss)(phi))
        return Linearised(phi, unravel, sensitivity, cost._replace(slope=slope))


def minimised_loss(
    follower: Follower, game: Game, theta: Theta, reward_model: RewardModel, key: Key
) -> Callable[[Array], Scalar]:
    """Return the loss that the follower minimises, or raise an InputError if there is none."""
    loss = follower.loss(game, theta, reward_model, key)
    if loss is None:
        name = kebab(type(follower).__name__)
        raise InputError("follower", name, "one whose update is a best response, for an implicit gradient")
    return loss
