"""Penalties in the metric of the reward model's own curvature: leverage, and pessimism by its root.

The curvature is H = ∂²L/∂φ² of the follower's whole training loss at the present φ, by Gauss and Newton:

    H = Σ_i w_i ℓ''(m_i) ∇m_i ∇m_iᵀ + ∇²Ω        over the items that the next update trains on,

which is exact where the reward is affine in φ. Gradients are `Game.gradient_features`, with respect to all of
φ. The MLP of the neural environment uses only its last layer, the last hidden activations and 1, so H is then
the curvature of that layer's parameters. θ, φ and the items are held fixed inside H; a response under the
expectation is differentiated. In a run, H is that of the policy at the beginning of an iteration, for all of
its policy steps.
"""

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, PyTree

from fpo_jax.errors import InputError
from fpo_jax.expect import expect
from fpo_jax.hyperparameters import choice, kebab, real
from fpo_jax.numerics.linear_solve import cholesky, whitened
from fpo_jax.numerics.square_root import square_root
from fpo_jax.objectives.penalties import (
    ORACLE_HELP,
    WEIGHT_HELP,
    Penalised,
    Proximal,
    Residual,
    utility_choice,
)
from fpo_jax.steering import foresight_keys
from fpo_jax.types import (
    Feedback,
    Follower,
    Game,
    Influence,
    Key,
    Objective,
    Phi,
    Response,
    RewardModel,
    Scalar,
    State,
    Theta,
)

Vector = Float[Array, " d"]
Matrix = Float[Array, "d d"]
REQUIREMENT = "given a damping > 0, or a larger one: the curvature of the follower's loss is singular here"


def margin_features(game: Game, feedback: Feedback, phi: Phi, item: PyTree) -> Vector:
    """Return ∇_φ m of an item by `Game.gradient_features`: that of its response minus that of the other."""
    first, *others = (game.gradient_features(phi, y) for y in feedback.sides(item))
    return first - others[0] if others else first


def curvature(
    game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
) -> Float[Array, "d d"]:
    """Return H of the loss that the follower trains on next, at the present φ; θ and φ are detached (ours).

    Raises:
        InputError: when the follower does not say what it trains on.
    """
    theta, reward_model = jax.lax.stop_gradient((theta, reward_model))
    training = follower.training(game, theta, reward_model, key)
    if training is None:
        name = kebab(type(follower).__name__)
        raise InputError("follower", name, "one with a method `training`, which returns its training data")
    feedback, phi = follower.feedback, reward_model.phi

    def of_item(item: PyTree) -> tuple[Vector, Scalar]:
        target = feedback.target(game, item)
        bend = jax.grad(lambda m: feedback.scale * feedback.residual(m, target))
        return margin_features(game, feedback, phi, item), bend(feedback.margin(game, phi, item))

    rows, bends = jax.vmap(of_item)(training.items.y)
    weighted = (training.items.w * bends)[:, None] * rows
    gram = jnp.matmul(rows.T, weighted, precision="highest")
    ridge = jnp.asarray(training.ridge, gram.dtype) * jnp.eye(gram.shape[0], dtype=gram.dtype)
    return gram + ridge


@struct.dataclass
class Curved(Objective):
    """An objective in the metric of H + damping.

    Attributes:
        damping: added to the diagonal of H.
        factor: L with H + damping = L Lᵀ, which the loop computes by `for_iteration`; None before.
    """

    weight: float = real(0.3, WEIGHT_HELP, low=0.0)
    damping: float = real(0.0, "added to the curvature's diagonal", low=0.0)
    factor: Matrix | None = struct.field(default=None, kw_only=True)

    def for_iteration(self, game: Game, follower: Follower, state: State, key: Key) -> Objective:
        """Return the objective with H at the beginning of an iteration, for all of its policy steps."""
        found = self.factored(game, follower, state.theta, state.reward_model, key)
        return self.replace(factor=found)  # type: ignore[attr-defined]

    def factored(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Matrix:
        """Return L of the iteration, or else of H at this θ; NaN if H + damping is singular.

        Raises:
            InputError: as `curvature`.
        """
        if self.factor is not None:
            return self.factor
        matrix = curvature(game, follower, theta, reward_model, foresight_keys(key).data)
        damping = jnp.asarray(self.damping, matrix.dtype)
        return cholesky(matrix + damping * jnp.eye(matrix.shape[0], dtype=matrix.dtype))


def influence_in(
    game: Game, feedback: Feedback, phi: Phi, white: Callable[[Vector], Vector]
) -> Callable[[PyTree], Influence]:
    """Return the influence of one item as a function of it, its products those of whitened gradients."""

    def influence(item: PyTree) -> Influence:
        first, *others = feedback.sides(item)
        of_margin = white(margin_features(game, feedback, phi, item))
        of_reward = white(game.gradient_features(phi, first)) if others else of_margin
        products = (jnp.vdot(side, of_margin, precision="highest") for side in (of_reward, of_margin))
        return Influence(game.reward(phi, first), feedback.margin(game, phi, item), *products)

    return influence


@struct.dataclass
class Leverage(Curved, Penalised):
    """J − weight · E[(1 − oracle + oracle · residual) · ℓ], leverage ℓ(y) = ⟨∇r(y), (H + δ)⁻¹ ∇m⟩ (ours).

    This is practical FPO in the metric of the reward model's own curvature. For a best response on labels, ℓ
    is the effect of relabelling y on its own reward: ∂r_φ⁺(y)/∂U(y) = 2 μ(y) ℓ(y), with μ(y) its weight in
    the training mix and δ = 0. With `oracle` 0 it needs the inputs that the follower trains on; with 1 it is
    relaxed FPO in that metric.

        form square     ℓ
             root       √(∇mᵀ (H + δ)⁻¹ ∇m), the width of a confidence interval of the margin
             bounded    ℓ / (1 + weight · ∇mᵀ (H + δ)⁻¹ ∇m), and the residual is that after an implicit step:
                        with `oracle` 1 it is the proximal penalty in that metric
    """

    knows: ClassVar[str] = "the follower's inputs"
    requirement: ClassVar[str] = REQUIREMENT

    oracle: float = real(0.0, ORACLE_HELP, low=0.0, high=1.0)
    form: str = choice("square", "how leverage enters the penalty", ("square", "root", "bounded"))
    utility: str = utility_choice()

    def residuals(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Residual:
        """Return the residual, in the bounded form after an implicit step of size `weight` in that metric."""
        if self.form == "bounded":
            return Proximal(weight=self.weight).residuals(game, follower, theta, reward_model, key)
        return super().residuals(game, follower, theta, reward_model, key)

    def influence_under(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[PyTree], Influence]:
        """Return the influence of one item in that metric."""
        lower = self.factored(game, follower, theta, reward_model, key)
        return influence_in(game, follower.feedback, reward_model.phi, lambda v: whitened(lower, v))

    def penalty(self, residual: Scalar, influence: Influence) -> Scalar:
        """Return (1 − oracle + oracle · residual) times leverage; in the bounded form both are bounded."""
        leverage = square_root(influence.on_margin) if self.form == "root" else influence.on_reward
        unknown = 1.0 / (1.0 + self.weight * influence.on_margin) if self.form == "bounded" else 1.0
        return ((1.0 - self.oracle) * unknown + self.oracle * residual) * leverage


@struct.dataclass
class Pessimistic(Curved):
    """E[r − weight · √(∇rᵀ (H + δ)⁻¹ ∇r)] − cost: a lower confidence bound on the reward (offline RL).

    A negative weight is optimism, as in LinUCB. For preferences the width is that of the reward itself, not
    of a comparison. It uses the follower's inputs, not its labels.
    """

    knows: ClassVar[str] = "the follower's inputs"
    requirement: ClassVar[str] = REQUIREMENT

    weight: float = real(0.3, "β, widths below the reward, negative above it; 0 is the myopic objective")

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return the expectation of the bound, less the cost."""
        lower = self.factored(game, follower, theta, reward_model, key)
        responses, phi = game.respond(theta, foresight_keys(key).evaluation), reward_model.phi

        def bound(y: Response) -> Scalar:
            gradient = whitened(lower, game.gradient_features(phi, y))
            width = square_root(jnp.vdot(gradient, gradient, precision="highest"))
            return game.reward(phi, y) - self.weight * width

        return expect(bound, responses) - game.cost(theta, responses)
