"""The checks of `fpo_jax.testing.check_game` on a game: shapes first, then numbers."""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from fpo_jax.errors import InputError
from fpo_jax.expect import check_shapes, check_weights
from fpo_jax.feedback import Comparison
from fpo_jax.testing.probe import DIFFERENCE_STEP, SAMPLES, Probe
from fpo_jax.types import Game, Key, Phi, Responses, Theta

TOLERANCE = 1e-6
"""Largest deviation, relative to the largest compared number, that counts as rounding or finite-difference
error.
"""


def check_game_shapes(game: Game, theta: Theta, phi: Phi, key: Key) -> None:
    """Check shapes by abstract evaluation, so that a mistake is named before anything is computed."""
    policy = jax.eval_shape(game.respond, theta, key)
    check_shapes(policy)
    row = _row(policy)
    others = {
        "offline()": jax.eval_shape(game.offline),
        "reference()": jax.eval_shape(game.reference),
        "deployed(theta, key)": jax.eval_shape(game.deployed, theta, key),
    }
    for method, sample in others.items():
        if sample is not None:
            check_shapes(sample)
            same = _row(sample) == row
            require(same, f"{method}.y", f"rows of {_row(sample)}", f"rows of {row}, as the policy")
    stacked = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((SAMPLES, *leaf.shape), leaf.dtype), policy)
    drawn = jax.tree.map(_plain, jax.eval_shape(lambda: game.sample(theta, key, SAMPLES)))
    allowed = f"{SAMPLES} samples as respond gives, stacked: {stacked}"
    require(drawn == stacked, f"sample(theta, key, {SAMPLES})", drawn, allowed)
    scalars = {
        "reward(phi, y)": jax.eval_shape(game.reward, phi, row),
        "utility(y)": jax.eval_shape(game.utility, row),
        "blind_spot(y)": jax.eval_shape(game.blind_spot, row),
        "cost(theta, responses)": jax.eval_shape(game.cost, theta, policy),
        "optimum()": jax.eval_shape(game.optimum),
    }
    diagnostics = jax.eval_shape(game.diagnostics, theta)
    scalars |= {f"diagnostics(theta)[{name!r}]": value for name, value in diagnostics.items()}
    _require_scalars(scalars)
    both = jax.eval_shape(game.reward_and_norm, phi, row)
    two = isinstance(both, tuple) and len(both) == 2
    require(two, "reward_and_norm(phi, y)", type(both).__name__, "a pair of scalar arrays")
    shortcuts = {f"reward_and_norm(phi, y)[{i}]": part for i, part in enumerate(both)}
    shortcuts["tangent_kernel(phi, y, other)"] = jax.eval_shape(game.tangent_kernel, phi, row, row)
    _require_scalars(shortcuts)
    number, deployed = policy.w.size, others["deployed(theta, key)"].w.size
    divides = isinstance(game.prompts, int) and game.prompts >= 1 and number % game.prompts == 0
    require(divides, "prompts", game.prompts, f"an integer >= 1 that divides the {number} responses")
    fits = game.places is None or deployed % max(math.prod(game.places.values()), 1) == 0
    require(
        fits, "places", game.places, f"axes whose sizes multiply to a divisor of the {deployed} responses"
    )
    recorded = jax.eval_shape(game.comparisons)
    if recorded is not None:
        made = isinstance(recorded.y, Comparison)
        require(made, "comparisons()", type(recorded.y).__name__, "as fpo_jax.feedback.recorded makes it")
    for progress in (0.0, 0.5, 1.0):
        now = jax.eval_shape(game.at, jnp.asarray(progress))
        kinds = [jax.tree.map(_kind, at) for at in (now, game)]
        require(kinds[0] == kinds[1], f"at({progress})", now, "the same game, with other numbers")


def _require_scalars(values: dict[str, Any]) -> None:
    for method, value in values.items():
        shape = getattr(value, "shape", None)
        given = type(value).__name__ if shape is None else f"array of shape {list(shape)}"
        require(shape == (), method, given, "a scalar array")


def _plain(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)


def _row(sample: Responses) -> PyTree:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), sample.y)


def _kind(leaf: Any) -> tuple[tuple[int, ...], str]:
    return jnp.shape(leaf), jnp.result_type(leaf).name


def check_game_values(probe: Probe) -> None:
    """Check numbers, and that shortcuts, samples and pairs agree with their definitions.

    Raises:
        InputError: names the method that breaks the contract.
    """
    for name in sorted(probe.samples, key=lambda name: (name != "respond", name)):
        _check_sample(name, probe.samples[name])
    given = probe.samples["respond"]
    drawn = jax.tree.map(lambda *rows: np.stack(rows), *_drawn(probe))
    for method, once, again in (
        ("respond(theta, key)", given, probe.again[0]),
        ("sample(theta, key, number)", drawn, probe.again[1]),
    ):
        require(_alike(once, again), method, "different on a second call", "a function of its key")
    if not _alike(given, probe.other):  # if the policy is sampled
        allowed = "independent samples, each from its own key"
        for one, another in itertools.combinations(_drawn(probe), 2):
            require(not _alike(one, another), "sample(theta, key, number)", "the same sample twice", allowed)
    for reward, utility, blind in zip(probe.reward, probe.utility, probe.blind_spot, strict=True):
        require(np.all(np.isfinite(reward)), "reward(phi, y)", reward, "finite")
        require(np.all(np.isfinite(utility)), "utility(y)", utility, "finite")
        require(np.all((blind >= 0) & (blind <= 1)), "blind_spot(y)", blind, "in [0, 1]")
    reached, bound = np.sum(given.w * probe.utility[0]), np.asarray(probe.optimum)
    require(np.isfinite(bound), "optimum()", bound, "finite")
    require(reached <= bound + TOLERANCE * abs(bound), "E[U]", reached, f"<= optimum() = {bound}")
    for name, value in probe.diagnostics.items():
        require(np.isfinite(value), f"diagnostics(theta)[{name!r}]", value, "finite")
    if probe.luck is not None:
        errors, ranks = probe.luck
        require(np.all(np.isfinite(errors)), "luck(y)[0]", errors, "finite")
        require(np.all((ranks >= 0) & (ranks <= 1)), "luck(y)[1]", ranks, "in [0, 1]")
    if probe.preferred is not None:
        preferred = np.asarray(probe.preferred)
        certain = np.all((preferred >= 0) & (preferred <= 1))
        require(certain, "comparisons().y.preferred", preferred, "probabilities in [0, 1]")
    for name in ("J in theta", "J in phi", "E[U] in theta"):
        gradient, difference, value = probe.gradients[name]
        rounding = 100.0 * np.finfo(float).eps * max(abs(float(value)), 1.0) / DIFFERENCE_STEP
        error = _relative(gradient, difference, rounding)
        require(
            error <= TOLERANCE,
            f"gradient of {name}",
            f"off its central difference by {error:.1e}",
            "equal to it: something is detached, not differentiable, or not in double precision",
        )
    for name, (ours, theirs) in probe.shortcuts.items():
        mine, right = (ravel_pytree(tree)[0] for tree in (ours, theirs))
        error = _relative(mine, right)
        allowed = "equal to its definition, derivatives included"
        require(error <= TOLERANCE, name, f"off its definition by {error:.1e}", allowed)


def _check_sample(name: str, sample: Responses) -> None:
    try:
        check_weights(sample)
    except InputError as error:
        if name == "respond":
            raise
        raise InputError(f"{name}: {error.field}", error.value, error.allowed) from error


def _drawn(probe: Probe) -> list[Responses]:
    return [probe.samples[f"sample, {i}"] for i in range(SAMPLES)]


def _alike(one: PyTree, other: PyTree) -> bool:
    same = jax.tree.map(lambda a, b: np.allclose(a, b, rtol=1e-5, atol=1e-6), one, other)
    return all(jax.tree.leaves(same))


def _relative(ours: Array, theirs: Array, rounding: float = 0.0) -> float:
    """Return the largest deviation beyond rounding, over the largest number; infinite if not finite."""
    off = max(float(np.max(np.abs(ours - theirs), initial=0.0)) - rounding, 0.0)
    largest = float(np.max(np.abs(theirs), initial=0.0))
    error = off / largest if largest > 0 else off
    return error if np.isfinite(np.max(np.abs(ours - theirs), initial=0.0)) else math.inf


def require(condition: object, method: str, value: object, allowed: str) -> None:
    """Raise an InputError unless the condition holds."""
    if not condition:
        raise InputError(method, value, allowed)
