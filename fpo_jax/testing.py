"""Checks for a user's own games: run them in your own test suite.

from fpo_jax.testing import check_game
def test_my_game():
    check_game(MyGame())
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from fpo_jax.differentiate import CentralDifference
from fpo_jax.expect import check_shapes, check_weights, leader_value
from fpo_jax.hyperparameters import InputError, validate
from fpo_jax.keys import named_key
from fpo_jax.simulate import instance
from fpo_jax.types import Environment, Game, Key, Phi, Response, Responses, Scalar, Theta


def central_difference(f: Callable[[PyTree], Scalar], x: PyTree, step: float = 1e-5) -> PyTree:
    """Return (f(x + h e_i) − f(x − h e_i)) / 2h for each coordinate, shaped like x, with error O(h²).

    Args:
        f: scalar function of a pytree.
        x: where to differentiate.
        step: half-width h, > 0; 1e-5 suits float64.
    """
    return CentralDifference(step).gradient(f, x)


def check_game(environment: Environment | Game, key: Key | None = None) -> None:
    """Check that an environment keeps the contract of `Game`, on one instance.

    Checked at the initial θ and at a random one: every method returns what it should, in shape and range;
    weights sum to 1; the same key gives the same responses; offline data are shaped like the policy's;
    E[U] never exceeds `optimum`; all survives jit, and vmap over responses;
    the gradients of J in θ and φ equal central
    differences (to 1e-6 relative in float64, 2e-2 in float32).

    Args:
        environment: an environment, of which an instance is drawn, or one game.
        key: the source of randomness; seed 0 by default.

    Raises:
        InputError: names the method that breaks the contract, what it gave, and what it must give.
    """
    key = jax.random.key(0) if key is None else key
    validate(environment)
    game = instance(environment, key)
    theta, phi = game.init(named_key(key, "initial parameters"))
    for at in (theta, _perturbed(theta, named_key(key, "random theta"))):
        _check_shapes(game, at, phi, key)
        _check_values(jax.jit(_probe)(game, at, phi, key))


class _Probe(NamedTuple):
    """What a game gives at one θ, φ and key."""

    samples: list[Responses]  # the policy's, and the offline data if there are any
    again: Responses  # the policy's, from the same key
    reward: list[Array]
    utility: list[Array]
    blind_spot: list[Array]
    optimum: Array
    gradients: dict[str, tuple[Array, Array]]  # automatic and by central differences


def _probe(game: Game, theta: Theta, phi: Phi, key: Key) -> _Probe:
    offline = game.offline()
    samples = [game.respond(theta, key), *([] if offline is None else [offline])]

    def of_each(f: Callable[[Response], Array]) -> list[Array]:
        return [jax.vmap(f)(sample.y) for sample in samples]

    def value(t: Theta, p: Phi) -> Scalar:
        return leader_value(game, t, p, game.respond(t, key))

    double = jnp.result_type(float) == jnp.float64

    def compare(f: Callable[[PyTree], Scalar], x: PyTree) -> tuple[Array, Array]:
        difference = central_difference(f, x, 1e-5 if double else 1e-2)
        return ravel_pytree(jax.grad(f)(x))[0], ravel_pytree(difference)[0]

    return _Probe(
        samples,
        game.respond(theta, key),
        of_each(lambda y: game.reward(phi, y)),
        of_each(game.utility),
        of_each(game.blind_spot),
        jnp.asarray(game.optimum()),
        {
            "theta": compare(lambda t: value(t, phi), theta),
            "phi": compare(lambda p: value(theta, p), phi),
        },
    )


def _check_shapes(game: Game, theta: Theta, phi: Phi, key: Key) -> None:
    """Check shapes by abstract evaluation, so that a mistake is named before anything is computed."""
    policy = jax.eval_shape(game.respond, theta, key)
    check_shapes(policy)
    row = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), policy.y)
    offline = jax.eval_shape(game.offline)
    if offline is not None:
        check_shapes(offline)
        offline_row = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), offline.y)
        _require(offline_row == row, "offline().y", f"rows of {offline_row}", f"rows of {row}, as the policy")
    scalars = {
        "reward(phi, y)": jax.eval_shape(game.reward, phi, row),
        "utility(y)": jax.eval_shape(game.utility, row),
        "blind_spot(y)": jax.eval_shape(game.blind_spot, row),
        "cost(theta, responses)": jax.eval_shape(game.cost, theta, policy),
        "optimum()": jax.eval_shape(game.optimum),
    }
    diagnostics = jax.eval_shape(game.diagnostics, theta)
    scalars |= {f"diagnostics(theta)[{name!r}]": value for name, value in diagnostics.items()}
    for method, value in scalars.items():
        shape = getattr(value, "shape", None)
        given = type(value).__name__ if shape is None else f"array of shape {list(shape)}"
        _require(shape == (), method, given, "a scalar array")


def _check_values(probe: _Probe) -> None:
    for sample in probe.samples:
        check_weights(sample)
    same = jax.tree.map(lambda a, b: np.allclose(a, b, rtol=1e-5, atol=1e-6), probe.samples[0], probe.again)
    pure = all(jax.tree.leaves(same))
    _require(pure, "respond(theta, key)", "different on a second call", "a function of its key")
    for reward, utility, blind in zip(probe.reward, probe.utility, probe.blind_spot, strict=True):
        _require(np.all(np.isfinite(reward)), "reward(phi, y)", reward, "finite")
        _require(np.all(np.isfinite(utility)), "utility(y)", utility, "finite")
        _require(np.all((blind >= 0) & (blind <= 1)), "blind_spot(y)", blind, "in [0, 1]")
    reached, bound = np.sum(probe.samples[0].w * probe.utility[0]), np.asarray(probe.optimum)
    _require(reached <= bound + 1e-6 * abs(bound), "E[U]", reached, f"<= optimum() = {bound}")
    for name, (gradient, difference) in probe.gradients.items():
        error = np.max(np.abs(gradient - difference)) / max(np.max(np.abs(difference)), 1e-3)
        _require(
            error <= (1e-6 if gradient.dtype == jnp.float64 else 2e-2),
            f"gradient of J in {name}",
            f"off its central difference by {error:.1e}",
            "equal to it: something is detached or not differentiable",
        )


def _perturbed(tree: PyTree, key: Key) -> PyTree:
    flat, unravel = ravel_pytree(tree)
    return unravel(flat + 0.5 * jax.random.normal(key, flat.shape, flat.dtype))


def _require(condition: object, method: str, value: object, allowed: str) -> None:
    if not condition:
        raise InputError(method, value, allowed)
