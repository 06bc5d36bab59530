"""Objectives that foresee the follower's own updates, and the one that foresees none.

Each is a scalar function of θ; its gradient is the policy's step.
"""

import jax
import jax.numpy as jnp
from flax import struct

from fpo_jax.expect import leader_value
from fpo_jax.hyperparameters import choice, count
from fpo_jax.steering import foresee, foresight_keys, foresighted_value
from fpo_jax.types import Follower, Game, Key, Objective, RewardModel, Scalar, Theta
from fpo_jax.wrappers import detach_utility


@struct.dataclass
class Myopic(Objective):
    """J(θ, φ) at the present φ: iterative RLHF, which drops the steering term (paper)."""

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return J(θ, φ)."""
        responses = game.respond(theta, foresight_keys(key).evaluation)
        return leader_value(game, theta, reward_model.phi, responses)


@struct.dataclass
class Exact(Objective):
    """F(θ) = J(θ, φ⁺(θ)): everything kept, by differentiating through the follower's own updates (ours)."""

    horizon: int = count(1, "updates of the follower that the leader foresees")
    utility: str = choice(
        "differentiated",
        "whether ∂U/∂y of the follower's labels is known to the leader",
        ("differentiated", "detached"),
    )

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return F(θ)."""
        seen = game if self.utility == "differentiated" else detach_utility(game)
        return foresighted_value(seen, follower, theta, reward_model, key, self.horizon)


@struct.dataclass
class Limit(Objective):
    """F(θ) at the limit of infinitely many updates of the follower: the horizon k = ∞ (ours)."""

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return J(θ, φ⁺(θ)) with φ⁺ the follower's limit at π_θ."""
        keys = foresight_keys(key)
        phi_plus = follower.limit(game, theta, reward_model, keys.data).phi
        return leader_value(game, theta, phi_plus, game.respond(theta, keys.evaluation))


@struct.dataclass
class FirstOrder(Objective):
    """J(θ, φ) + ⟨∂J/∂φ, φ⁺(θ) − φ⟩: one Jacobian-vector product, no curvature, all cross terms (ours).

    Its distance from F is of second order in φ⁺ − φ.
    """

    horizon: int = count(1, "updates of the follower that the leader foresees")

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return F to first order around the present φ."""
        keys = foresight_keys(key)
        responses = game.respond(theta, keys.evaluation)
        phi = reward_model.phi
        phi_plus = foresee(game, follower, theta, reward_model, keys.data, self.horizon).phi
        ahead = jax.tree.map(jnp.subtract, phi_plus, phi)
        value, change = jax.jvp(lambda p: leader_value(game, theta, p, responses), (phi,), (ahead,))
        return value + change
