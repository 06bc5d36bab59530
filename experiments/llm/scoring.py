"""Candidates for one prompt as a game, so that every score is an effective reward of `fpo_jax` itself.

A response is the final hidden state h of a frozen backbone at its last token, followed by a 1 if the head has
a bias, and r_φ(z) = φ·h(z). So ∇_φ r = h: inner products of gradients are inner products of features, and no
candidate needs a backward pass.
"""

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from fpo_jax.feedback import Comparison, Preferences
from fpo_jax.followers import Gradient
from fpo_jax.numerics.linear_solve import cholesky
from fpo_jax.numerics.rows import one_row
from fpo_jax.objectives.best_of_n import SCORES
from fpo_jax.objectives.effective_reward import effective_rewards
from fpo_jax.objectives.leverage import Leverage
from fpo_jax.types import Game, Key, Objective, Phi, Response, Responses, RewardModel, Scalar, Theta

FEEDBACK = Preferences(opponent="reference", annotator_temperature=1.0)
"""The head's training signal: p* = σ(r*(z) − r*(z_ref)), a soft label by the oracle's reward r*."""


class Features(NamedTuple):
    """Features of a response for the reward model and the oracle; with a leading axis, of several.

    Attributes:
        reward: [d] features of the reward model.
        oracle: [d*] features of the oracle.
    """

    reward: Float[Array, "*n d"]
    oracle: Float[Array, "*n e"]


@struct.dataclass
class Candidates(Game):
    """n candidates for one prompt, each of weight 1/n, the reference response, and the oracle's head φ*."""

    drawn: Features
    reference_drawn: Features
    oracle_head: Float[Array, " e"]

    def init(self, key: Key) -> tuple[Theta, Phi]:
        """Return no policy parameters, and the oracle's head as the reward model's."""
        return (), self.oracle_head

    def respond(self, theta: Theta, key: Key) -> Responses:
        """Return the candidates."""
        n = self.drawn.reward.shape[0]
        return Responses(self.drawn, jnp.full(n, 1.0 / n, self.drawn.reward.dtype))

    def reference(self) -> Responses:
        """Return the reference response."""
        return Responses(one_row(self.reference_drawn), jnp.ones(1, self.drawn.reward.dtype))

    def reward(self, phi: Phi, y: Response) -> Scalar:
        """Return r_φ(z) = φ·h(z)."""
        return jnp.dot(phi, y.reward, precision="highest")

    def reward_and_norm(self, phi: Phi, y: Response) -> tuple[Scalar, Scalar]:
        """Return φ·h and ‖h‖²."""
        return self.reward(phi, y), jnp.dot(y.reward, y.reward, precision="highest")

    def tangent_kernel(self, phi: Phi, y: Response, other: Response) -> Scalar:
        """Return ⟨h, h'⟩."""
        return jnp.dot(y.reward, other.reward, precision="highest")

    def utility(self, y: Response) -> Scalar:
        """Return the oracle's reward r*(z) = φ*·h*(z), which stands for the true utility."""
        return jnp.dot(self.oracle_head, y.oracle, precision="highest")

    def cost(self, theta: Theta, responses: Responses) -> Scalar:
        """Return 0."""
        return jnp.zeros((), self.drawn.reward.dtype)

    def blind_spot(self, y: Response) -> Scalar:
        """Return 0, since it is unknown."""
        return jnp.zeros((), self.drawn.reward.dtype)

    def optimum(self) -> Scalar:
        """Return the best candidate's r*."""
        return jnp.max(jax.vmap(self.utility)(self.drawn))


class Curvature(NamedTuple):
    """H = (1/k) Σ p_φ (1 − p_φ) ∇m ∇mᵀ over the k pairs that the head has been trained on.

    Each pair counts with the head of its step, so one sum suffices (ours).

    Attributes:
        total: [d, d] k H.
        pairs: k.
    """

    total: Float[Array, "d d"]
    pairs: Scalar

    @classmethod
    def none(cls, width: int) -> "Curvature":
        """Return the curvature before any training."""
        return cls(jnp.zeros((width, width)), jnp.zeros(()))

    def after(self, game: Candidates, phi: Phi, item: Comparison) -> "Curvature":
        """Return the curvature with one more pair."""
        margin, slope = jax.value_and_grad(lambda phi: FEEDBACK.margin(cast(Game, game), phi, item))(phi)
        bend = jax.nn.sigmoid(margin) * jax.nn.sigmoid(-margin)
        return Curvature(self.total + bend * jnp.outer(slope, slope), self.pairs + 1.0)

    def factored(self, damping: float) -> Float[Array, "d d"]:
        """Return L with H + δ = L Lᵀ; NaN where that is singular."""
        mean = self.total / jnp.maximum(self.pairs, 1.0)
        return cholesky(mean + damping * jnp.eye(len(mean), dtype=mean.dtype))


def scores(
    game: Candidates,
    phi: Phi,
    mode: str,
    weight: Scalar | float,
    factor: Float[Array, "d d"] | None = None,
) -> Float[Array, " n"]:
    """Return the effective reward of every candidate: r, or r minus weight times the mode's penalty.

    `leverage` uses r − weight · gᵀ (H + δ)⁻¹ ∇m, by the `factor` of H + δ.
    """
    follower = Gradient(feedback=FEEDBACK)
    if mode == "leverage":
        objective: Objective = Leverage(weight=cast(float, weight), factor=factor)
    else:
        objective = SCORES["reward" if mode == "rlhf" else mode](weight)
    key = jax.random.key(0)  # nothing is drawn
    return effective_rewards(objective, cast(Game, game), follower, (), RewardModel(phi), key)


def compared(game: Candidates, y: Features, labels: str, key: Key) -> Comparison:
    """Return a candidate beside the reference response, with the oracle's preference: p*, or a draw by it."""
    told, other = cast(Game, game), game.reference_drawn
    gap = FEEDBACK.perceived(told, y) - FEEDBACK.perceived(told, other)
    preferred = FEEDBACK.probability(gap)
    score = jnp.ones_like(preferred)  # candidates are given: no label depends on the policy's parameters
    if labels == "hard":
        preferred = jax.random.bernoulli(key, preferred).astype(preferred.dtype)
    return Comparison(y, other, preferred, score)


def head_loss(game: Candidates, phi: Phi, item: Comparison) -> tuple[Scalar, Phi]:
    """Return the Bradley–Terry loss on one comparison, and its gradient (p_φ − p*) ∇m.

    This formula, unlike differentiating the loss, gives exactly 0 where p_φ = p*; Adam would turn rounding
    errors into full steps.
    """
    margin, slope = jax.value_and_grad(lambda phi: FEEDBACK.margin(cast(Game, game), phi, item))(phi)
    target = FEEDBACK.target(cast(Game, game), item)
    return FEEDBACK.loss(margin, target), FEEDBACK.scale * FEEDBACK.residual(margin, target) * slope
