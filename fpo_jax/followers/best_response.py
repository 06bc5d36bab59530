"""Followers that answer with a minimiser of their loss, differentiated by the implicit function theorem."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree
from jax.scipy.optimize import minimize

from fpo_jax.expect import follower_loss, fresh_items, squared_norm, training_data
from fpo_jax.feedback import Labels
from fpo_jax.hyperparameters import count, flag, part, real
from fpo_jax.numerics.linear_solve import solve_positive, trust
from fpo_jax.types import (
    Feedback,
    Follower,
    Game,
    Key,
    Phi,
    Responses,
    RewardModel,
    Scalar,
    Theta,
    Training,
)

Loss = Callable[[jax.Array], jax.Array]
Slope = Callable[[jax.Array], jax.Array]
Minimiser = Callable[[Slope, jax.Array], jax.Array]

ALPHA_HELP = "share of on-policy data in the reward model's training mix, in [0, 1]"


Method = TypeVar("Method", bound=Callable[..., Any])


def _traced_once(method: Method) -> Method:
    """Trace a method once, however often a program needs it: jit it inside the jitted program."""
    return cast(Method, jax.jit(method))


@struct.dataclass
class BestResponse(Follower):
    """The exact minimiser of the regularised loss, for a reward affine in φ (paper, Thm.).

    φ⁺ = argmin_φ E_{μ_θ}[ℓ] + ridge · ‖φ − φ_a‖², where φ_a = φ₀ if `anchored`, else 0.
    With r affine in φ the squared error is quadratic, so one Newton step from the anchor lands on the
    minimiser: φ⁺ = φ_a − [∂²L/∂φ²]⁻¹ ∂L/∂φ(φ_a). Differentiating through the solve is the implicit function
    theorem. On preferences the loss is convex: Newton's method within a trust region (optimistix) leads from
    the present φ to the minimiser, differentiated by the theorem; φ⁺ is NaN where it does not reach it.
    With a singular Hessian (ridge 0 and too few distinct responses) there is no single minimiser. A run
    refuses such a Hessian at its start, and one so close to singular that rounding decides the answer. Where
    this happens later, φ⁺ is NaN.
    """

    ridge: float = real(0.0, "ridge λ on ‖φ − anchor‖²", low=0.0)
    alpha: float = real(1.0, ALPHA_HELP, low=0.0, high=1.0)
    anchored: bool = flag(False, "pull φ toward its initial value φ₀ rather than toward 0")
    feedback: Feedback = part(Labels())

    def init(self, game: Game, theta: Theta, phi: Phi, key: Key) -> RewardModel:
        """Return the best response to the initial policy; the anchor is remembered."""
        anchor = phi if self.anchored else jax.tree.map(jnp.zeros_like, phi)
        return self.update(game, theta, RewardModel(phi, memory=anchor), key)

    def anchor(self, reward_model: RewardModel) -> Phi:
        """Return φ_a, which is all that is remembered."""
        return reward_model.memory

    @_traced_once
    def update(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return the best response to π_θ, whatever φ was before."""
        loss = self.loss(game, theta, reward_model, key)
        if self.feedback.quadratic:
            start, unravel = ravel_pytree(self.anchor(reward_model))
            found = _stationary(loss, start, _newton_step)
        else:
            from fpo_jax.numerics import roots

            start, unravel = ravel_pytree(reward_model.phi)
            found = _stationary(loss, start, roots.convex)
        return RewardModel(unravel(found), memory=reward_model.memory)

    def residual(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Scalar:
        """Return ‖∂L/∂φ(φ)‖ / (‖∂L/∂φ(φ_a)‖ + ‖φ − φ_a‖): rounding if r is affine in φ, else larger.

        Infinite where the Hessian is so close to singular that rounding decides where its minimiser lies.
        """
        return self.away(self.loss(game, theta, reward_model, key), reward_model)

    def away(self, loss: Loss, reward_model: RewardModel) -> Scalar:
        """Return how far φ is from the stationary point of a loss, as `residual` measures it."""
        phi, anchor = (ravel_pytree(p)[0] for p in (reward_model.phi, self.anchor(reward_model)))
        relative = relative_slope(jax.grad(loss), phi, anchor)
        return jnp.where(jnp.isfinite(trust(jax.hessian(loss)(anchor))), relative, jnp.inf)

    def limit(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return the best response: one update gives the same as infinitely many, and the anchor stays."""
        return self.update(game, theta, reward_model, key)

    def calibrated_weight(self, horizon: int) -> None:
        """Return None: the step size of a best response is H⁻¹, which no single weight matches."""
        return None

    def training(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Training:
        """Return offline and fresh items, and the ridge, whose curvature is 2λ."""
        items = training_data(game, theta, self.alpha, key, self.feedback)
        return Training(items, 2.0 * self.ridge)

    def labelled(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Responses:
        """Return the fresh items."""
        return fresh_items(game, theta, key, self.feedback)

    def loss(
        self, game: Game, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[jax.Array], jax.Array]:
        """Return the regularised loss L(θ, ·) as a function of the flattened φ."""
        return self.loss_on(game, reward_model, self.training(game, theta, reward_model, key).items)

    def loss_on(self, game: Game, reward_model: RewardModel, data: Responses) -> Loss:
        """Return the regularised loss on these items."""
        anchor, unravel = ravel_pytree(self.anchor(reward_model))

        def loss(phi: jax.Array) -> jax.Array:
            fit = follower_loss(game, unravel(phi), data, self.feedback)
            return fit + self.ridge * squared_norm(phi - anchor)

        return loss


@struct.dataclass
class Converged(BestResponse):
    """A stationary point of the regularised loss for any reward, such as an MLP, reached from the present φ.

    BFGS descends, then Newton's method brings ‖∂L/∂φ‖ down to rounding. The implicit function theorem gives
    the derivative, whatever the path. φ⁺ is NaN where ‖∂L/∂φ‖ does not fall below `gradient_norm`, where the
    point is not a minimum, and where the minimum is so flat that a small slope does not determine it. A run
    names the iteration at which this happened.
    """

    gradient_norm: float = real(1e-8, "largest ‖∂L/∂φ‖ that counts as converged", low=0.0, open=True)
    most_steps: int = count(2000, "maximum iterations of BFGS")

    @_traced_once
    def update(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return the stationary point that descent from the present φ leads to."""
        loss = self.loss(game, theta, reward_model, key)
        phi, unravel = ravel_pytree(reward_model.phi)

        from fpo_jax.numerics import roots  # slow to import, and most followers need none

        def minimise(slope: Callable[[jax.Array], jax.Array], start: jax.Array) -> jax.Array:
            fine = self.gradient_norm / 10.0
            fixed = jax.lax.stop_gradient(theta)
            # JAX's own BFGS: that of optimistix compares structures, which differ in sharding between devices
            descended = minimize(
                lambda p: self.loss(game, fixed, reward_model, key)(p),
                start,
                method="BFGS",
                tol=fine,
                options={"maxiter": self.most_steps},
            ).x
            polished = roots.polished(slope, descended, fine)
            converged = jnp.linalg.norm(slope(polished)) <= self.gradient_norm
            return jnp.where(converged, polished, jnp.nan) * trust(jax.jacfwd(slope)(polished))

        return RewardModel(unravel(_stationary(loss, phi, minimise)), memory=reward_model.memory)


def relative_slope(slope: Slope, phi: jax.Array, anchor: jax.Array) -> Scalar:
    """Return ‖∂L/∂φ(φ)‖ / (‖∂L/∂φ(φ_a)‖ + ‖φ − φ_a‖), 0 where all of it is 0."""
    scale = jnp.linalg.norm(slope(anchor)) + jnp.linalg.norm(phi - anchor)
    return jnp.linalg.norm(slope(phi)) / jnp.where(scale > 0, scale, 1.0)


def _newton_step(slope: Slope, start: jax.Array) -> jax.Array:
    """Return the root of a slope that is affine."""
    return start - solve_positive(jax.jacfwd(slope)(start), slope(start))


def _stationary(loss: Loss, start: jax.Array, minimise: Minimiser) -> jax.Array:
    """Return the stationary point that `minimise` finds, differentiated by the implicit function theorem."""

    def solve_tangent(slope: Slope, right: jax.Array) -> jax.Array:
        return solve_positive(jax.jacfwd(slope)(right), right)

    return jax.lax.custom_root(jax.grad(loss), jax.lax.stop_gradient(start), minimise, solve_tangent)
