"""Checks for a user's own games: run them in your own test suite.

from fpo_jax.testing import check_decomposition, check_game
def test_my_game():
    check_game(MyGame())
def test_my_steering_term():
    check_decomposition(MyGame(), BestResponse(ridge=0.1), my_steering_term)
"""

import math
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
from fpo_jax.start import instance
from fpo_jax.steering import Decomposition, foresighted_value, steering
from fpo_jax.types import (
    Environment,
    Follower,
    Game,
    Key,
    Phi,
    Response,
    Responses,
    RewardModel,
    Scalar,
    Theta,
)


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
    game, (theta, phi) = _begun(environment, key)
    for at in (theta, _perturbed(theta, named_key(key, "random theta"))):
        _check_shapes(game, at, phi, key)
        _check_values(jax.jit(_probe)(game, at, phi, key))


@jax.jit
def _begun(environment: Environment | Game, key: Key) -> tuple[Game, tuple[Theta, Phi]]:
    game = instance(environment, key)
    return game, game.init(named_key(key, "initial parameters"))


def check_decomposition(
    environment: Environment | Game,
    follower: Follower,
    candidate: Callable[[Game, Follower, Theta, RewardModel, Key], Decomposition | PyTree],
    key: Key | None = None,
    *,
    horizon: int = 1,
    tolerance: float = 1e-6,
) -> None:
    """Check a steering term derived by hand, or a new approximation, against the exact one.

    Checked on one instance, away from its initial θ: the candidate against `fpo_jax.steering.steering`, and
    that against central differences of F, so that neither is believed on its own.

    Args:
        environment: an environment, of which an instance is drawn, or one game.
        follower: the follower that the leader faces.
        candidate: a function of (game, follower, theta, reward_model, key) that returns a `Decomposition`, of
            which both parts are checked; or the whole of dF/dθ, shaped like θ, as `Objective.estimate` gives.
        key: the source of randomness; seed 0 by default.
        horizon: updates of the follower that the exact term foresees.
        tolerance: largest deviation in any coordinate, relative to the largest coordinate of the exact one;
            the default suits a term that claims to be exact, in float64.

    Raises:
        InputError: names the part and the coordinate that is off the most, its value and what it must be.
    """
    key = jax.random.key(0) if key is None else key
    game = instance(environment, key)

    @jax.jit
    def reference() -> tuple[Theta, RewardModel, Decomposition, PyTree]:
        theta, phi = game.init(named_key(key, "initial parameters"))
        theta = _perturbed(theta, named_key(key, "random theta"))
        model = follower.init(game, theta, phi, named_key(key, "initial data"))
        difference = central_difference(
            lambda t: foresighted_value(game, follower, t, model, key, horizon),
            theta,
            _difference_step(),
        )
        return theta, model, steering(game, follower, theta, model, key, horizon), difference

    theta, model, exact, difference = reference()
    given = candidate(game, follower, theta, model, key)
    if isinstance(given, Decomposition):
        _require_close("standard", given.standard, exact.standard, tolerance, "the exact standard part")
        _require_close("steering", given.steering, exact.steering, tolerance, "the exact steering part")
        given = given.total
    _require_close("dF/dθ", given, exact.total, tolerance, "the exact gradient")
    _require_close("dF/dθ", given, difference, max(tolerance, 1e-6), "the central difference of F")


def _require_close(name: str, given: PyTree, expected: PyTree, tolerance: float, what: str) -> None:
    shapes = jax.tree.map(jnp.shape, given), jax.tree.map(jnp.shape, expected)
    _require(shapes[0] == shapes[1], name, f"of shape {shapes[0]}", f"of shape {shapes[1]}, as θ")
    paths, leaves = zip(*jax.tree_util.tree_leaves_with_path(expected), strict=True)
    scale = max(float(np.max(np.abs(leaf), initial=0.0)) for leaf in leaves)
    worst = (0.0, "", 0.0, 0.0)
    for path, ours, theirs in zip(paths, leaves, jax.tree.leaves(given), strict=True):
        off = np.where(np.isfinite(theirs), np.abs(np.asarray(theirs) - ours), np.inf)
        where = np.unravel_index(np.argmax(off), off.shape)
        place = jax.tree_util.keystr(path) + (f"[{', '.join(map(str, where))}]" if where else "")
        worst = max(worst, (float(off[where]), place, float(theirs[where]), float(ours[where])))
    off_by, place, value, right = worst
    allowed = f"{right:.9g}, {what} (off by {off_by:.2g}; largest coordinate {scale:.2g})"
    _require(off_by <= tolerance * scale, f"{name}{place}", f"{value:.9g}", allowed)


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

    def compare(f: Callable[[PyTree], Scalar], x: PyTree) -> tuple[Array, Array]:
        difference = central_difference(f, x, _difference_step())
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
    number = jax.eval_shape(game.deployed, theta, key).w.size
    fits = game.places is None or number % max(math.prod(game.places.values()), 1) == 0
    _require(fits, "places", game.places, f"axes whose sizes multiply to a divisor of the {number} responses")
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


def _difference_step() -> float:
    return 1e-5 if jnp.result_type(float) == jnp.float64 else 1e-2


def _require(condition: object, method: str, value: object, allowed: str) -> None:
    if not condition:
        raise InputError(method, value, allowed)
