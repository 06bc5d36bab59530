"""The field whose zeros are equilibria: the leader's direction against the follower's limit."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from fpo_jax import tangents as directions
from fpo_jax.leader import Leader, advantages
from fpo_jax.numerics import roots
from fpo_jax.numerics.undetached import undetached
from fpo_jax.types import Follower, Game, Key, RewardModel, Theta


class Players(NamedTuple):
    """One instance and its players.

    Attributes:
        game, leader, follower: the leader is already held to its earlier policies.
        model: the reward model that the follower's limit starts from.
        key: for code that asks for a key; nothing is actually drawn.
        earlier: the policies that the leader is held to.
    """

    game: Game
    leader: Leader
    follower: Follower
    model: RewardModel
    key: Key
    earlier: PyTree = ()


@jax.jit
def weights_of(players: Players, theta: Theta) -> Array:
    """Return the weights of the policy's responses."""
    return players.game.respond(theta, players.key).w


def answer(players: Players, theta: Theta) -> RewardModel:
    """Return φ*(θ), the follower's limit."""
    return players.follower.limit(players.game, theta, players.model, players.key)


def gradient_at(players: Players, theta: Theta, model: RewardModel) -> Theta:
    """Return the leader's gradient at this reward model."""
    game, leader, follower, _, key, _ = players
    return leader.differentiator.gradient(
        lambda t: leader.objective.value(game, follower, t, model, key), theta
    )


def direction_of(players: Players, theta: Theta, logits: bool) -> tuple[Array, Array]:
    """Return the field at a policy, flattened, and the weights of its responses."""
    gradient = ravel_pytree(gradient_at(players, theta, answer(players, theta)))[0]
    weights = players.game.respond(theta, players.key).w
    return (advantages(gradient, weights) if logits else gradient), weights


field_of = jax.jit(direction_of, static_argnums=2)
"""`direction_of`, compiled."""


def _derivative(players: Players, theta: Theta, along: Any, natural: Array, kind: str) -> Array:
    flat, unravel = ravel_pytree(theta)

    def field(x: Array) -> Array:
        here = direction_of(players, unravel(x), kind == "logits")[0]
        if kind != "parameters":
            return here
        # the natural gradient n = F⁺g changes by F⁺(∂g − ∂(F n)) with n fixed, so a small probability hides
        # no gain
        return here - directions.fisher_product(players.game, unravel(x), natural, players.key)

    free = undetached(field)
    return jax.vmap(lambda direction: jax.jvp(free, (flat,), (direction,))[1])(along)


derivative_of = jax.jit(_derivative, static_argnums=4)
"""Return the field's derivative along each row of [m, d] directions, [m, d]; in parameters, the derivative of
the natural gradient times F."""


def _polished(players: Players, theta: Theta, vectors: Array, pull: Array, logits: bool) -> Array:
    flat, unravel = ravel_pytree(theta)
    spare = jnp.where(jnp.any(vectors != 0, axis=0), 0.0, 1.0)

    def slope(along: Array) -> Array:
        return pull @ direction_of(players, unravel(flat + vectors @ along), logits)[0] + spare * along

    return flat + vectors @ roots.polished(undetached(slope), jnp.zeros(vectors.shape[1]), 1e-13)


polished_by_newton = jax.jit(_polished, static_argnums=4)
"""Return θ after Newton's method (optimistix) within θ + span(vectors); columns of zeros have no effect."""
