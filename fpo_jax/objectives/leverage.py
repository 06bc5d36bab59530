"""Penalties in the metric of the reward model's own curvature: leverage, and pessimism by its root.

The curvature is H = ∂²L/∂φ² of the follower's whole training loss at the present φ, by Gauss and Newton:

    H = Σ_i w_i ℓ''(m_i) ∇m_i ∇m_iᵀ + ridge · I        over the items that the next update trains on,

which is exact where the reward is affine in φ. An MLP takes the gradients ∇ by its last layer
(`Game.gradient_features`). θ, φ, the items and H are held fixed; a response is differentiated.
"""

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, PyTree

from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import choice, kebab, real
from fpo_jax.numerics.linear_solve import solve_positive
from fpo_jax.objectives.penalties import ORACLE_HELP, WEIGHT_HELP, Penalised, utility_choice
from fpo_jax.steering import foresight_keys
from fpo_jax.types import Feedback, Follower, Game, Influence, Key, Phi, RewardModel, Scalar, Theta

Vector = Float[Array, " d"]
DAMPING_HELP = "added to the curvature's diagonal"
REQUIREMENT = "given a damping > 0, or a larger one: the curvature of the follower's loss is singular here"


def margin_features(game: Game, feedback: Feedback, phi: Phi, item: PyTree) -> Vector:
    """Return ∇_φ m of an item as `Game.gradient_features`: that of its response, less that of the other."""
    first, *others = (game.gradient_features(phi, y) for y in feedback.sides(item))
    return first - others[0] if others else first


def curvature(
    game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
) -> Float[Array, "d d"]:
    """Return H of the loss that the follower trains on next, at the present φ; detached (ours).

    Raises:
        InputError: where the follower cannot tell what it trains on.
    """
    theta, reward_model = jax.lax.stop_gradient((theta, reward_model))
    training = follower.training(game, theta, reward_model, key)
    if training is None:
        name = kebab(type(follower).__name__)
        raise InputError("follower", name, "one that tells what it trains on, by a method `training`")
    feedback, phi = follower.feedback, reward_model.phi

    def of_item(item: PyTree) -> tuple[Vector, Scalar]:
        target = feedback.target(game, item)
        bend = jax.grad(lambda m: feedback.scale * feedback.residual(m, target))
        return margin_features(game, feedback, phi, item), bend(feedback.margin(game, phi, item))

    rows, bends = jax.vmap(of_item)(training.items.y)
    weighted = (training.items.w * bends)[:, None] * rows
    gram = jnp.matmul(rows.T, weighted, precision="highest")
    ridge = jnp.asarray(training.ridge, gram.dtype) * jnp.eye(gram.shape[0], dtype=gram.dtype)
    return jax.lax.stop_gradient(gram + ridge)


def root(x: Scalar) -> Scalar:
    """Return √x with derivative 0 at 0, where it has none."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), jnp.where(x < 0, jnp.nan, 0.0 * x))


class _Curved(Penalised):
    """A penalty by inner products ⟨·, (H + damping)⁻¹ ·⟩ in place of plain ones."""

    damping: float

    def metric(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[Vector, Vector], Scalar]:
        """Return the inner product."""
        matrix = curvature(game, follower, theta, reward_model, foresight_keys(key).data)
        damped = matrix + jnp.asarray(self.damping, matrix.dtype) * jnp.eye(
            matrix.shape[0], dtype=matrix.dtype
        )
        return lambda a, b: jnp.vdot(a, solve_positive(damped, b), precision="highest")


@struct.dataclass
class Leverage(_Curved):
    """J − weight · E[(1 − oracle + oracle · residual) · ℓ], leverage ℓ(y) = ⟨∇r(y), (H + δ)⁻¹ ∇m⟩ (ours).

    Practical FPO in the metric of the reward model's own curvature. For a best response on labels, ℓ is what
    relabelling y does to its own reward: ∂r_φ⁺(y)/∂U(y) = 2 μ(y) ℓ(y), with μ(y) its weight in the training
    mix. With `oracle` 0 it needs the inputs that the follower trains on; with 1 it is relaxed FPO in that
    metric.

        form square     ℓ
             root       √(∇mᵀ (H + δ)⁻¹ ∇m), the width of a confidence interval
             bounded    ℓ / (1 + weight · ∇mᵀ (H + δ)⁻¹ ∇m), the proximal penalty in that metric
    """

    knows: ClassVar[str] = "the follower's inputs"
    requirement: ClassVar[str] = REQUIREMENT

    weight: float = real(0.3, WEIGHT_HELP, low=0.0)
    oracle: float = real(0.0, ORACLE_HELP, low=0.0, high=1.0)
    damping: float = real(0.0, DAMPING_HELP, low=0.0)
    form: str = choice("square", "how leverage enters the penalty", ("square", "root", "bounded"))
    utility: str = utility_choice()

    def influence_under(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[PyTree], Influence]:
        """Return the influence of one item in that metric."""
        metric = self.metric(game, follower, theta, reward_model, key)
        feedback, phi = follower.feedback, reward_model.phi

        def influence(item: PyTree) -> Influence:
            first = feedback.sides(item)[0]
            of_margin = margin_features(game, feedback, phi, item)
            on_reward = metric(game.gradient_features(phi, first), of_margin)
            rewards = game.reward(phi, first), feedback.margin(game, phi, item)
            return Influence(*rewards, on_reward, metric(of_margin, of_margin))

        return influence

    def penalty(self, residual: Scalar, influence: Influence) -> Scalar:
        """Return (1 − oracle + oracle · residual) times leverage in its form."""
        if self.form == "square":
            leverage = influence.on_reward
        elif self.form == "root":
            leverage = root(influence.on_margin)
        else:
            leverage = influence.on_reward / (1.0 + self.weight * influence.on_margin)
        return (1.0 - self.oracle + self.oracle * residual) * leverage


@struct.dataclass
class Pessimistic(_Curved):
    """E[r − weight · √(∇rᵀ (H + δ)⁻¹ ∇r)] − cost: a lower confidence bound on the reward (offline RL).

    A negative weight is optimism, as in LinUCB. For preferences the width is that of the reward itself, not
    of a comparison. The follower's labels are not asked for, only its inputs.
    """

    knows: ClassVar[str] = "the follower's inputs"
    requirement: ClassVar[str] = REQUIREMENT

    weight: float = real(0.3, "β, widths below the reward; negative: above it; 0 is the myopic objective")
    damping: float = real(0.0, DAMPING_HELP, low=0.0)

    def influence_under(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[PyTree], Influence]:
        """Return ∇rᵀ (H + δ)⁻¹ ∇r of an item's response for its influence."""
        metric = self.metric(game, follower, theta, reward_model, key)
        feedback, phi = follower.feedback, reward_model.phi

        def influence(item: PyTree) -> Influence:
            first = feedback.sides(item)[0]
            of_reward = game.gradient_features(phi, first)
            width = metric(of_reward, of_reward)
            return Influence(game.reward(phi, first), feedback.margin(game, phi, item), width, width)

        return influence

    def penalty(self, residual: Scalar, influence: Influence) -> Scalar:
        """Return the width."""
        return root(influence.on_reward)
