"""Objectives that foresee the follower's own updates: over a horizon, in the limit, to first order."""

import jax
import jax.numpy as jnp
from flax import struct

from fpo_jax.expect import evaluate
from fpo_jax.hyperparameters import choice, count
from fpo_jax.steering import foresee, foresight_keys, foresighted_value
from fpo_jax.types import Follower, Game, Key, Objective, RewardModel, Scalar, Theta
from fpo_jax.wrappers import as_known


@struct.dataclass
class Exact(Objective):
    """F(θ) = J(θ, φ⁺(θ)): the full gradient, by differentiating through the follower's own updates (ours)."""

    horizon: int = count(1, "updates of the follower that the leader foresees")
    utility: str = choice(
        "differentiated",
        "whether the leader knows ∂U/∂y of the follower's labels",
        ("differentiated", "detached"),
    )

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return F(θ)."""
        return foresighted_value(
            as_known(game, self.utility), follower, theta, reward_model, key, self.horizon
        )


@struct.dataclass
class Limit(Objective):
    """F(θ) at the limit of infinitely many updates of the follower: the horizon k = ∞ (ours)."""

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return J(θ, φ⁺(θ)) with φ⁺ the follower's limit at π_θ."""
        keys = foresight_keys(key)
        phi_plus = follower.limit(game, theta, reward_model, keys.data).phi
        return evaluate(game, theta, phi_plus, keys.evaluation)


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
        phi = reward_model.phi
        phi_plus = foresee(game, follower, theta, reward_model, keys.data, self.horizon).phi
        ahead = jax.tree.map(jnp.subtract, phi_plus, phi)
        value, change = jax.jvp(lambda p: evaluate(game, theta, p, keys.evaluation), (phi,), (ahead,))
        return value + change
