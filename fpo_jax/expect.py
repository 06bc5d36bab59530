"""The only expectation in the code, and the two functions of the theory that use it: J and L."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from fpo_jax.errors import InputError
from fpo_jax.feedback import Labels
from fpo_jax.numerics.keys import named_key
from fpo_jax.responses import drawn
from fpo_jax.types import Feedback, Game, Key, Phi, Response, Responses, Scalar, Theta

LABELS = Labels()


def check_shapes(responses: Responses) -> None:
    """Check that weights are a vector and that every leaf of y has as many rows; costs nothing under jit.

    Raises:
        InputError: names the array whose shape is wrong.
    """
    if jnp.ndim(responses.w) != 1:
        raise InputError("responses.w", f"array of shape {jnp.shape(responses.w)}", "of shape [n]")
    (n,) = jnp.shape(responses.w)
    for path, leaf in jax.tree_util.tree_leaves_with_path(responses.y):
        if jnp.ndim(leaf) < 1 or jnp.shape(leaf)[0] != n:
            raise InputError(
                f"responses.y{jax.tree_util.keystr(path)}",
                f"array of shape {jnp.shape(leaf)}",
                f"of shape [{n}, ...], one row for each weight",
            )


def check_weights(responses: Responses) -> None:
    """Check that weights are non-negative and sum to 1.

    Raises:
        InputError: names the offending weight or the sum.
    """
    weights = np.asarray(responses.w)
    if not np.all(weights >= 0):
        raise InputError("responses.w", weights.min(), "finite and non-negative everywhere")
    if not abs(weights.sum() - 1.0) <= 1e-5:
        raise InputError("sum of responses.w", weights.sum(), "1, to within 1e-5")


def expect(f: Callable[[Response], PyTree], responses: Responses) -> PyTree:
    """Return the expectation of f under a weighted sample: E[f(y)] = Σ_i w_i f(y_i).

    Args:
        f: function of one response, with values in any pytree of arrays.
        responses: n weighted responses.

    Nothing is detached: gradients flow through y and through w. The weights are traced here, so `check_game`
    and the start of every run check that they sum to 1.

    Raises:
        InputError: when shapes disagree.
    """
    check_shapes(responses)
    return jax.tree.map(
        lambda values: jnp.tensordot(responses.w, values, axes=1, precision="highest"),
        jax.vmap(f)(responses.y),
    )


def mix(offline: Responses | None, on_policy: Responses, alpha: float | Scalar) -> Responses:
    """Return the training distribution μ_θ = (1 − α)·offline + α·π_θ, as one weighted sample.

    Args:
        offline: m weighted responses; with None there are none, and α has no effect.
        on_policy: n weighted responses of π_θ.
        alpha: share of on-policy data, in [0, 1].

    Returns:
        m + n weighted responses.
    """
    if offline is None:
        return on_policy
    return Responses(
        y=jax.tree.map(lambda a, b: jnp.concatenate([a, b]), offline.y, on_policy.y),
        w=jnp.concatenate([(1.0 - alpha) * offline.w, alpha * on_policy.w]),
    )


def leader_value(game: Game, theta: Theta, phi: Phi, responses: Responses) -> Scalar:
    """Return the leader's objective J(θ, φ) = E_{y~π_θ}[r_φ(y)] − cost(θ), with responses ~ π_θ."""
    return expect(lambda y: game.reward(phi, y), responses) - game.cost(theta, responses)


def evaluate(game: Game, theta: Theta, phi: Phi, key: Key) -> Scalar:
    """Return J(θ, φ) on the responses of π_θ to this key; differentiable in θ and φ."""
    return leader_value(game, theta, phi, game.respond(theta, key))


def item_loss(game: Game, phi: Phi, item: PyTree, feedback: Feedback) -> Scalar:
    """Return the reward model's loss ℓ on one item: squared error (r − U)² on a response with its label.

    It includes the score of the label, through which ℓ depends on θ if the label was drawn.
    """
    loss = feedback.loss(feedback.margin(game, phi, item), feedback.target(game, item))
    return feedback.score(item) * loss


def follower_loss(game: Game, phi: Phi, data: Responses, feedback: Feedback = LABELS) -> Scalar:
    """Return the data term of the follower's loss, E_{μ_θ}[ℓ], with data ~ μ_θ.

    By default E[(r_φ(y) − U(y))²]. The follower adds its regulariser Ω(φ).
    """
    return expect(lambda item: item_loss(game, phi, item, feedback), data)


def training_data(
    game: Game, theta: Theta, alpha: float | Scalar, key: Key, feedback: Feedback = LABELS
) -> Responses:
    """Return the follower's data μ_θ: the offline items mixed with fresh, annotated items of π_θ."""
    return mix(feedback.offline(game, key), fresh_items(game, theta, key, feedback), alpha)


def fresh_items(game: Game, theta: Theta, key: Key, feedback: Feedback) -> Responses:
    """Return the annotated items of π_θ itself among the follower's data."""
    return annotated(feedback.gather(game, theta, game.respond(theta, key), key), feedback, key)


def annotated(items: Responses, feedback: Feedback, key: Key) -> Responses:
    """Return the annotated items: all of them, or with a label budget that many draws by their weights.

    Draws keep their score ∇ log w as the gradient of their weights.
    """
    if feedback.label_budget is None:
        return items
    return drawn(items, feedback.label_budget, named_key(key, "annotated draws"))


def squared_norm(tree: PyTree) -> Float[Array, ""]:
    """Return the squared Euclidean norm of a pytree of arrays."""
    return jnp.asarray(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
