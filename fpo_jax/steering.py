"""The decomposition of the leader's true gradient, and how two directions are compared.

The leader is paid at the reward model that answers its policy:

    F(θ) = J(θ, φ⁺(θ)),   dF/dθ = ∂J/∂θ |_{φ⁺}  +  (dφ⁺/dθ)ᵀ ∂J/∂φ |_{φ⁺}
                                  standard            steering
"""

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from fpo_jax.errors import InputError
from fpo_jax.expect import evaluate, squared_norm
from fpo_jax.numerics.scan import scan
from fpo_jax.types import Follower, Game, Key, RewardModel, Scalar, Theta

HORIZON_LIMIT = 10**6
"""Most foreseen updates: beyond, their random keys and checkpoints alone would fill memory."""


class Decomposition(NamedTuple):
    """dF/dθ in its two parts, each a pytree shaped like θ; `gradient` is their sum, as in an `Estimate`.

    Attributes:
        standard: ∂J/∂θ at φ⁺, which iterative RLHF follows.
        steering: (dφ⁺/dθ)ᵀ ∂J/∂φ at φ⁺, which it drops.
    """

    standard: PyTree
    steering: PyTree

    @property
    def gradient(self) -> PyTree:
        """Return dF/dθ = standard + steering."""
        return jax.tree.map(jnp.add, self.standard, self.steering)


class ForesightKeys(NamedTuple):
    """Two independent keys: the follower's data must not be the sample on which the leader is judged.

    Attributes:
        evaluation: for the responses on which the leader is judged.
        data: for the responses that train the foreseen follower.
    """

    evaluation: Key
    data: Key


def foresight_keys(key: Key) -> ForesightKeys:
    """Split a key by purpose: the leader's evaluation, and the data of the foreseen follower."""
    return ForesightKeys(*jax.random.split(key))


def foresee(
    game: Game,
    follower: Follower,
    theta: Theta,
    reward_model: RewardModel,
    key: Key,
    horizon: int = 1,
) -> RewardModel:
    """Return the reward model after `horizon` updates of the follower on responses of π_θ: φ⁺(θ).

    Differentiable in θ through every update; θ is held fixed between them. Reverse differentiation keeps
    about 2√horizon reward models rather than all of them, and repeats each update once.

    Raises:
        InputError: when the horizon is not an integer >= 1.
    """
    if not isinstance(horizon, int) or not 1 <= horizon <= HORIZON_LIMIT:
        raise InputError("horizon", horizon, f"an integer >= 1 and <= {HORIZON_LIMIT}")
    keys = jax.random.split(key, horizon)

    def update(model: RewardModel, update_key: Key) -> tuple[RewardModel, None]:
        return follower.update(game, theta, model, update_key), None

    @jax.checkpoint
    def leg(model: RewardModel, leg_keys: Key) -> tuple[RewardModel, None]:
        return scan(update, model, leg_keys)[0], None

    if horizon == 1:
        return update(reward_model, keys[0])[0]
    length = math.isqrt(horizon)
    whole = horizon - horizon % length
    model, _ = jax.lax.scan(leg, reward_model, keys[:whole].reshape(-1, length))
    return leg(model, keys[whole:])[0]


def foresighted_value(
    game: Game,
    follower: Follower,
    theta: Theta,
    reward_model: RewardModel,
    key: Key,
    horizon: int = 1,
) -> Scalar:
    """Return F(θ) = J(θ, φ⁺(θ)), the objective of a foresighted leader (paper)."""
    keys = foresight_keys(key)
    phi_plus = foresee(game, follower, theta, reward_model, keys.data, horizon).phi
    return evaluate(game, theta, phi_plus, keys.evaluation)


def steering(
    game: Game,
    follower: Follower,
    theta: Theta,
    reward_model: RewardModel,
    key: Key,
    horizon: int = 1,
) -> Decomposition:
    """Return the exact standard and steering parts of dF/dθ (paper; (11) of our theory).

    It takes one forward pass through `horizon` updates of the follower and one backward pass from ∂J/∂φ. For
    a best response this is the implicit function theorem, (12), −(∂J/∂φ)ᵀ [∂²L/∂φ²]⁻¹ ∂²L/∂φ∂θ as a row:
    `BestResponse` defines the derivative of its answer, and `Implicit` spells the formula out, with a choice
    of solvers.

    Args:
        game, follower: the environment and how its reward model is retrained.
        theta: policy parameters at which to differentiate.
        reward_model: the reward model before the foreseen updates.
        key: the same key gives the same F in `foresighted_value`, sample for sample.
        horizon: number of foreseen updates, >= 1.

    Nothing is detached. A follower that ignores the policy gives a steering part of exact zeros.
    """
    keys = foresight_keys(key)
    phi_plus, pull_back = jax.vjp(
        lambda t: foresee(game, follower, t, reward_model, keys.data, horizon).phi, theta
    )
    by_theta_and_phi = jax.grad(lambda t, phi: evaluate(game, t, phi, keys.evaluation), argnums=(0, 1))
    standard, value_by_phi = by_theta_and_phi(theta, phi_plus)
    (steering_part,) = pull_back(value_by_phi)
    return Decomposition(standard, steering_part)


def norm(direction: PyTree) -> Scalar:
    """Return the Euclidean norm of a pytree of arrays taken as one vector."""
    return jnp.sqrt(squared_norm(direction))


def cosine(a: PyTree, b: PyTree) -> Scalar:
    """Return ⟨a, b⟩ / (‖a‖ ‖b‖) in [-1, 1]; NaN, meaning undefined, where either is exactly zero."""
    a_flat, b_flat = ravel_pytree(a)[0], ravel_pytree(b)[0]
    norms = jnp.linalg.norm(a_flat) * jnp.linalg.norm(b_flat)
    inner = jnp.vdot(a_flat, b_flat, precision="highest")
    return jnp.where(norms > 0, inner / jnp.where(norms > 0, norms, 1.0), jnp.nan)


def norm_ratio(a: PyTree, b: PyTree) -> Scalar:
    """Return ‖a‖ / ‖b‖; NaN, meaning undefined, where b is exactly zero."""
    a_norm, b_norm = norm(a), norm(b)
    return jnp.where(b_norm > 0, a_norm / jnp.where(b_norm > 0, b_norm, 1.0), jnp.nan)


def sign_agreement(a: PyTree, b: PyTree) -> Scalar:
    """Return the share of coordinates in which a and b have the same sign, in [0, 1]."""
    chex.assert_trees_all_equal_shapes(a, b)
    a_flat, b_flat = ravel_pytree(a)[0], ravel_pytree(b)[0]
    return jnp.mean(jnp.where(jnp.sign(a_flat) == jnp.sign(b_flat), 1.0, 0.0))
