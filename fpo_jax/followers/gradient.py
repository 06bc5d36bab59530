"""A follower that takes steps of gradient descent, as in the paper's controlled environments."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree

from fpo_jax.expect import follower_loss, fresh_items, training_data
from fpo_jax.feedback import Labels
from fpo_jax.followers.best_response import ALPHA_HELP, BestResponse, relative_slope
from fpo_jax.hyperparameters import count, part, real
from fpo_jax.numerics.linear_solve import STATIONARY_ENOUGH, largest_curvature
from fpo_jax.numerics.scan import scan
from fpo_jax.types import Feedback, Follower, Game, Key, Phi, Responses, RewardModel, Theta, Training


def weight_of_steps(follower: Any, horizon: int) -> float:
    """Return scale·lr·α·k for k plain descent steps: the weight at which the relaxed penalty matches them."""
    steps = follower.rm_steps * horizon
    return follower.feedback.scale * float(follower.rm_lr) * float(follower.alpha) * steps


@struct.dataclass
class Gradient(Follower):
    """k steps of gradient descent with decoupled weight decay, from the present φ (paper, controlled envs).

    φ ← (1 − weight_decay) φ − lr · ∇_φ E_{μ_θ}[ℓ], `rm_steps` times on the same data. The decay is per
    step and is not multiplied by the learning rate, as in the published experiment.
    """

    rm_lr: float = real(0.005, "learning rate of the reward model", low=0.0)
    weight_decay: float = real(0.0, "share of φ that each step removes", low=0.0, high=1.0)
    alpha: float = real(1.0, ALPHA_HELP, low=0.0, high=1.0)
    rm_steps: int = count(1, "gradient steps in one update of the reward model")
    feedback: Feedback = part(Labels())

    def init(self, game: Game, theta: Theta, phi: Phi, key: Key) -> RewardModel:
        """Return the initial parameters unchanged."""
        return RewardModel(phi)

    def update(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return φ after `rm_steps` gradient steps on μ_θ; differentiable in θ through every step."""
        data = self.training(game, theta, reward_model, key).items

        def step(phi: Phi, _: None) -> tuple[Phi, None]:
            gradient = jax.grad(follower_loss, argnums=1)(game, phi, data, self.feedback)
            decayed = jax.tree.map(lambda p, g: (1.0 - self.weight_decay) * p - self.rm_lr * g, phi, gradient)
            return decayed, None

        return RewardModel(scan(step, reward_model.phi, length=self.rm_steps)[0])

    def training(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Training:
        """Return offline and fresh items, and the ridge d / lr whose descent step is weight decay d."""
        items = training_data(game, theta, self.alpha, key, self.feedback)
        moves = self.rm_lr > 0
        ridge = jnp.where(moves, self.weight_decay / jnp.where(moves, self.rm_lr, 1.0), 0.0)
        return Training(items, ridge)

    def labelled(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Responses:
        """Return the fresh items."""
        return fresh_items(game, theta, key, self.feedback)

    def limit(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return the best response that the steps approach.

        φ = (1 − d) φ − lr ∇L means ∇(L + d/(2·lr) ‖φ‖²) = 0: a ridge of weight_decay / (2·rm_lr). The steps
        approach that point if they contract around it: lr · κ < 2 for the largest curvature κ of that loss.
        φ⁺ is NaN where they do not, or where the point is not stationary, as on labels with r not affine in
        φ.
        """
        ridge = self.weight_decay / (2.0 * self.rm_lr)
        best = BestResponse(ridge=ridge, alpha=self.alpha, feedback=self.feedback)
        start = RewardModel(reward_model.phi, jax.tree.map(jnp.zeros_like, reward_model.phi))
        found = best.update(game, theta, start, key)
        fixed = jax.lax.stop_gradient(theta)
        slope = jax.grad(best.loss(game, fixed, start, key))
        phi, origin = (jax.lax.stop_gradient(ravel_pytree(p)[0]) for p in (found.phi, start.memory))
        curvature = largest_curvature(lambda v: jax.jvp(slope, (phi,), (v,))[1], phi)
        stationary = relative_slope(slope, phi, origin) <= STATIONARY_ENOUGH
        reached = jnp.where(stationary & (self.rm_lr * curvature < 2.0), 1.0, jnp.nan)
        return RewardModel(
            jax.tree.map(lambda p: p * reached.astype(p.dtype), found.phi), reward_model.memory
        )

    def calibrated_weight(self, horizon: int) -> float:
        """Return 2·lr·α·k, k steps in all: one step moves r(y) by −2·lr·α·(r − U)‖∇r‖².

        Exact for k = 1 and a policy of one response, which influences only itself; otherwise it gives the
        scale.
        """
        return weight_of_steps(self, horizon)
