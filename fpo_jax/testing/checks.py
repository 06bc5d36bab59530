"""The two checks of `fpo_jax.testing`."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from fpo_jax.engine.initial import at_precision
from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import validate
from fpo_jax.numerics.differentiators import CentralDifference
from fpo_jax.numerics.keys import named_key
from fpo_jax.steering import Decomposition, foresighted_value, norm_ratio, steering
from fpo_jax.testing.contract import TOLERANCE, check_game_shapes, check_game_values, require
from fpo_jax.testing.probe import probe_game
from fpo_jax.types import Environment, Estimate, Follower, Game, Key, Phi, RewardModel, Scalar, Theta


def central_difference(f: Callable[[PyTree], Scalar], x: PyTree, step: float = 1e-5) -> PyTree:
    """Return (f(x + h e_i) − f(x − h e_i)) / 2h for each coordinate, shaped like x, with error O(h²).

    Args:
        f: scalar function of a pytree.
        x: where to differentiate.
        step: half-width h, > 0; 1e-5 suits float64.
    """
    return CentralDifference(difference_step=step).gradient(f, x)


def check_game(environment: Environment | Game, key: Key | None = None) -> None:
    """Check that an environment keeps the contract of `Game`, on one instance, in double precision.

    It checks at the initial θ and φ, and at random ones:

    - every method returns the right shapes and ranges, and works under jit and vmap;
    - weights sum to 1: of the policy, its samples, the deployed policy, the offline data, the reference
    policy, and comparisons;
    - the same key gives the same responses, and drawn samples differ from each other;
    - E[U] never exceeds `optimum`;
    - the gradients of J in θ and φ, and of E[U] in θ, equal central differences to 1e-6 relative;
    - the shortcuts `reward_and_norm` and `tangent_kernel` agree with their definitions, derivatives included;
    - pairs from `compare` have the policy's responses on their first side;
    - `at` changes numbers only.

    Args:
        environment: an environment, from which one instance is drawn, or one game.
        key: the source of randomness; seed 0 by default.

    Raises:
        InputError: names the method that breaks the contract, its result, and what it must return.
    """
    key = jax.random.key(0) if key is None else key
    validate(environment)
    with jax.enable_x64(True):
        game, (theta, phi) = _instance(environment, key)
        for t, p in ((theta, phi), _perturbed((theta, phi), named_key(key, "random theta and phi"))):
            check_game_shapes(game, t, p, key)
            check_game_values(jax.jit(probe_game)(game, t, p, key))


@jax.jit
def _instance(
    environment: Environment | Game, key: Key, follower: Follower | None = None
) -> tuple[Game, tuple[Theta, Phi]]:
    game = at_precision(environment, "float64").draw(named_key(key, "instance"))
    game = game if follower is None else follower.faced(game)
    return at_precision((game, game.init(named_key(key, "initial parameters"))), "float64")


def check_decomposition(
    environment: Environment | Game,
    follower: Follower,
    candidate: Callable[[Game, Follower, Theta, RewardModel, Key], Decomposition | Estimate | PyTree],
    key: Key | None = None,
    *,
    horizon: int = 1,
    tolerance: float = TOLERANCE,
) -> None:
    """Check a steering term derived by hand, or a new approximation, against the exact one.

    On one instance, away from its initial θ and φ, in double precision, it compares the candidate with
    `fpo_jax.steering.steering`, and that with central differences of F, so that neither is trusted on its
    own.

    Args:
        environment: an environment, from which one instance is drawn, or one game.
        follower: the follower that the leader faces.
        candidate: a function of (game, follower, theta, reward_model, key). `reward_model` is the one before
            the update, with φ, as `follower.init` makes it; the candidate finds φ⁺ itself. It returns a
            `Decomposition`, whose two parts are both checked, an `Estimate`, or all of dF/dθ, shaped like θ.
        key: the source of randomness; seed 0 by default.
        horizon: updates of the follower that the exact term foresees.
        tolerance: largest deviation in any coordinate, relative to the largest coordinate of the exact term;
            the default suits a term that claims to be exact and is computed in float64.

    Raises:
        InputError: names the part and the coordinate with the largest error, its value and the right value.
    """
    if isinstance(environment, type):
        raise InputError("environment", environment.__name__, f"an instance: {environment.__name__}()")
    key = jax.random.key(0) if key is None else key
    with jax.enable_x64(True):
        game, (theta, phi) = _instance(environment, key, follower)
        theta = _perturbed(theta, named_key(key, "random theta"))
        phi = _perturbed(phi, named_key(key, "random phi"))  # at φ = 0 a term that drops φ would pass

        @jax.jit
        def reference() -> tuple[RewardModel, Decomposition, PyTree]:
            model = follower.init(game, theta, phi, named_key(key, "initial data"))
            value = partial(foresighted_value, game, follower)
            difference = central_difference(lambda t: value(t, model, key, horizon), theta)
            return model, steering(game, follower, theta, model, key, horizon), difference

        model, exact, difference = reference()
        given = candidate(game, follower, theta, model, key)
        if isinstance(given, Decomposition):
            _require_close("standard", given.standard, exact.standard, tolerance, "the exact standard part")
            _require_close("steering", given.steering, exact.steering, tolerance, "the exact steering part")
        what = "the exact gradient"
        if isinstance(given, Decomposition | Estimate):
            given = given.gradient
        elif _near(given, exact.steering):
            what += ", but this is its steering part: return a Decomposition, or add the standard part"
        _require_close("dF/dθ", given, exact.gradient, tolerance, what)
        _require_close("dF/dθ", given, difference, max(tolerance, TOLERANCE), "the central difference of F")


def _near(given: PyTree, part: PyTree) -> bool:
    """Say whether a pytree is this part of the gradient, which is not 0, up to rounding."""
    if jax.tree.map(jnp.shape, given) != jax.tree.map(jnp.shape, part):
        return False
    off = jax.tree.map(lambda one, other: np.asarray(one, float) - np.asarray(other, float), given, part)
    return bool(norm_ratio(off, part) <= TOLERANCE)  # NaN where the part is 0


def _require_close(name: str, given: PyTree, expected: PyTree, tolerance: float, what: str) -> None:
    shapes = jax.tree.map(jnp.shape, given), jax.tree.map(jnp.shape, expected)
    require(shapes[0] == shapes[1], name, f"of shape {shapes[0]}", f"of shape {shapes[1]}, as θ")
    paths, leaves = zip(*jax.tree_util.tree_leaves_with_path(expected), strict=True)
    scale = max(float(np.max(np.abs(leaf), initial=0.0)) for leaf in leaves)
    worst = (0.0, "", 0.0, 0.0)
    for path, ours, theirs in zip(paths, leaves, jax.tree.leaves(given), strict=True):
        off = np.where(np.isfinite(theirs), np.abs(np.asarray(theirs, float) - np.asarray(ours)), np.inf)
        where = np.unravel_index(np.argmax(off), off.shape)
        place = jax.tree_util.keystr(path) + (f"[{', '.join(map(str, where))}]" if where else "")
        worst = max(worst, (float(off[where]), place, float(theirs[where]), float(ours[where])))
    off_by, place, value, right = worst
    single = [leaf for leaf in jax.tree.leaves(given) if np.asarray(leaf).dtype == np.float32]
    precision = "; it is computed in float32, whose digits do not go that far" if single else ""
    allowed = f"{right:.9g}, {what} (off by {off_by:.2g}; largest coordinate {scale:.2g}{precision})"
    require(off_by <= tolerance * scale, f"{name}{place}", f"{value:.9g}", allowed)


def _perturbed(tree: PyTree, key: Key) -> PyTree:
    flat, unravel = ravel_pytree(tree)
    return unravel(flat + 0.5 * jax.random.normal(key, flat.shape, flat.dtype))
