"""FPO without an oracle: it carries the residuals of paid labels over to other responses."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, PyTree

from fpo_jax.hyperparameters import choice, flag, real
from fpo_jax.numerics.linear_solve import whitened
from fpo_jax.numerics.schedule import annealed
from fpo_jax.objectives.leverage import REQUIREMENT, Curved, influence_in, margin_features
from fpo_jax.objectives.paid_labels import Remembering
from fpo_jax.objectives.penalties import WEIGHT_HELP, Penalised, Residual
from fpo_jax.responses import log_weights
from fpo_jax.steering import foresight_keys
from fpo_jax.types import Follower, Game, Influence, Key, Objective, RewardModel, Scalar, State, Theta

METRICS = ("curvature", "plain")


class Evidence(NamedTuple):
    """Labels that were paid for, as points in the metric of the reward model's curvature.

    Attributes:
        inverse: [d, d] L⁻¹, with H + damping = L Lᵀ.
        points: [m, d] L⁻¹∇m.
        residuals: [m] of the labels at the present φ.
        counts: [m] of how many labels each stands.
    """

    inverse: Float[Array, "d d"]
    points: Float[Array, "m d"]
    residuals: Float[Array, " m"]
    counts: Float[Array, " m"]


@struct.dataclass
class Carried(Remembering, Curved, Penalised):
    """J − weight · E[(s ρ̂⁺ + (1 − s) · unknown / (1 + weight · on_margin)) · on_reward] (ours).

    ρ̂ is the mean residual of labels near by, s = n / (n + doubt) the share of an item that is known:

        n = Σ_i c_i k_i,   ρ̂ = Σ_i c_i k_i ρ_i / n,   k_i = exp(−‖∇m − ∇m_i‖² / (2 reach²))

    over the labels i of the last `kept` updates and of the offline data, by distances in the metric
    (H + δ)⁻¹; c_i counts labels. ρ̂⁺ is that residual
    after an implicit step, as in the proximal penalty. Influences on_reward = ⟨∇r, ∇m⟩, on_margin = ‖∇m‖² are
    in the metric (H + δ)⁻¹ or plain. With ρ̂ = ρ and s = 1 it is the proximal penalty, with s = 0 and
    `unknown` 1 the bounded leverage without an oracle; below 0 the leader seeks what nobody knows. For
    labels, no weight takes more than `unknown` from the reward of an unlabelled response. With
    `unknown_final` it is unknown + p · (unknown_final − unknown) after a share p of the iterations.
    `held_out` is cross-fitting for a best response, which forgets earlier labels: none predicts itself.
    n, ρ̂ and H are detached; r within ρ̂⁺ is differentiated, the label that ρ̂ stands for is not.
    """

    knows: ClassVar[str] = "the follower's labels"
    requirement: ClassVar[str] = REQUIREMENT

    weight: float = real(1.0, WEIGHT_HELP, low=0.0)
    reach: float = real(0.3, "distance over which a residual is carried", low=0.0, open=True)
    doubt: float = real(1.0, "labels near by that count as much as having none", low=0.0, open=True)
    unknown: float = real(1.0, "residual where there are no labels; below 0 the leader seeks these")
    unknown_final: float | None = real(
        None, "`unknown` at the end of a run, approached linearly; it stays when not given"
    )
    metric: str = choice("curvature", "in which influence is measured", METRICS)
    held_out: bool = flag(False, "use no label that the last update was trained on")
    evidence: Evidence | None = struct.field(default=None, kw_only=True)

    def at(self, progress: Scalar | float) -> Objective:
        """Return the objective with the residual that unlabelled responses have at this progress."""
        if self.unknown_final is None:
            return self
        now = annealed(self.unknown, self.unknown_final, 1.0, progress)
        return self.replace(unknown=now, unknown_final=None)  # type: ignore[attr-defined]

    def for_iteration(self, game: Game, follower: Follower, state: State, key: Key) -> Objective:
        """Return the objective with H and the labels with which an iteration begins."""
        theta, model = state.theta, state.reward_model
        own = self.replace(paid=state.earlier)  # type: ignore[attr-defined]
        own = own.replace(factor=own.factored(game, follower, theta, model, key))
        return own.replace(evidence=own.gathered(game, follower, theta, model, key))

    def gathered(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Evidence:
        """Return the evidence of the iteration, or else that of the labels and the H at this θ."""
        if self.evidence is not None:
            return self.evidence
        paid = self.labels(game, follower, theta, reward_model, foresight_keys(key).data)
        items, counts = (paid.held_out() if self.held_out else paid).counted()
        lower = self.factored(game, follower, theta, reward_model, key)
        feedback, phi = follower.feedback, jax.lax.stop_gradient(reward_model.phi)

        def of(item: PyTree) -> tuple[Array, Scalar]:
            return margin_features(game, feedback, phi, item), feedback.item_residual(game, phi, item)

        features, residuals = jax.vmap(of)(items)
        # a product with L⁻¹ goes along all items, where a triangular solve is a call for each
        inverse = jax.vmap(lambda unit: whitened(lower, unit))(jnp.eye(lower.shape[0], dtype=lower.dtype)).T
        return Evidence(inverse, _times(features, inverse.T), residuals, counts)

    def influence_under(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[PyTree], Influence]:
        """Return the influence of one item, in the metric or plain."""
        if self.metric == "plain":
            return super().influence_under(game, follower, theta, reward_model, key)
        inverse = self.gathered(game, follower, theta, reward_model, key).inverse
        return influence_in(game, follower.feedback, reward_model.phi, lambda v: _times(inverse, v))

    def residuals(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Residual:
        """Return s ρ̂⁺ + (1 − s) · unknown / (1 + weight · on_margin)."""
        at = self.gathered(game, follower, theta, reward_model, key)
        feedback, phi = follower.feedback, jax.lax.stop_gradient(reward_model.phi)
        # log c − ‖x − x_i‖² / (2 reach²) as one product of rows (x_i / reach, what is of i alone, 1)
        far, logs = at.points / self.reach, log_weights(at.counts)
        rows = jnp.stack([logs - 0.5 * jnp.sum(far**2, axis=1), jnp.ones_like(logs)], axis=1)
        rows = jnp.concatenate([far, rows], axis=1)
        sums = jnp.stack([jnp.ones_like(at.residuals), at.residuals], axis=1)

        def carried(item: PyTree, target: Scalar, influence: Influence) -> Scalar:
            features = margin_features(game, feedback, phi, jax.lax.stop_gradient(item))
            x = _times(at.inverse, features) / self.reach
            own = jnp.concatenate([x, jnp.stack([jnp.ones_like(x[0]), -0.5 * jnp.sum(x**2)])])
            n, total = _times(sums.T, jnp.exp(_times(rows, own)))
            mean = total / jnp.where(n > 0, n, 1.0)
            believed = feedback.residual(jax.lax.stop_gradient(influence.margin), jnp.zeros_like(mean))
            step, known = self.weight * influence.on_margin, n / (n + self.doubt)
            told = feedback.residual_after(influence.margin, believed - mean, step)
            return known * told + (1.0 - known) * self.unknown / (1.0 + step)

        return carried


def _times(matrix: Array, other: Array) -> Array:
    return jnp.matmul(matrix, other, precision="highest")
