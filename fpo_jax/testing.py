"""Checks for a user's own games: run them in your own test suite.

    from fpo_jax.testing import check_game
    def test_my_game():
        check_game(MyGame())
"""

import jax
import jax.numpy as jnp
import numpy as np

from fpo_jax.differentiate import CentralDifference
from fpo_jax.expect import check_shapes, leader_value
from fpo_jax.hyperparameters import InputError, validate
from fpo_jax.simulate import check_weights, named_key
from fpo_jax.types import Environment, Game, Responses, Theta

central_difference = CentralDifference.gradient


def check_game(environment: Environment | Game, key: jax.Array | None = None) -> None:
    """Check that an environment keeps the contract of `Game`, on one instance at its initial parameters.

    Checked: every method returns what it should, in shape and range; weights sum to 1, at θ₀ and at a
    random θ; the offline data have the shape of the policy's; utility never exceeds `optimum`; everything
    survives jit and vmap; the same key gives the same result; J is differentiable in θ and φ, and its
    gradients equal central differences (to 1e-6 relative in float64, 2e-2 in float32).

    Args:
        environment: an environment, of which an instance is drawn, or one game.
        key: the source of randomness; seed 0 by default.

    Raises:
        InputError: names the method that breaks the contract, what it gave, and what it must give.
    """
    key = jax.random.key(0) if key is None else key
    validate(environment)
    game = environment.draw(named_key(key, "instance"))
    theta_0, phi = game.init(named_key(key, "initial parameters"))
    for theta in (theta_0, _perturbed(theta_0, named_key(key, "random theta"))):
        _check_responses(game, theta, phi, named_key(key, "responses"))
        _check_gradients(game, theta, phi, named_key(key, "responses"))


def _perturbed(tree: Theta, key: jax.Array) -> Theta:
    flat, unravel = jax.flatten_util.ravel_pytree(tree)
    return unravel(flat + 0.5 * jax.random.normal(key, flat.shape, flat.dtype))


def _require(condition: object, method: str, value: object, allowed: str) -> None:
    if not condition:
        raise InputError(method, value, allowed)


def _check_responses(game: Game, theta: Theta, phi: Theta, key: jax.Array) -> None:
    responses = jax.jit(lambda t, k: game.respond(t, k))(theta, key)
    _check_sample(responses)
    again = game.respond(theta, key)
    same = all(
        np.allclose(a, b, rtol=1e-5, atol=1e-6)
        for a, b in zip(jax.tree.leaves(responses), jax.tree.leaves(again), strict=True)
    )
    _require(same, "respond(theta, key)", "different on a second call", "a pure function of its key")
    optimum = np.asarray(game.optimum())
    samples = [responses]
    offline = game.offline()
    if offline is not None:
        _check_sample(offline)
        fits = jax.tree.structure(offline.y) == jax.tree.structure(responses.y) and all(
            a.shape[1:] == b.shape[1:]
            for a, b in zip(jax.tree.leaves(offline.y), jax.tree.leaves(responses.y), strict=True)
        )
        _require(fits, "offline().y", jax.tree.map(jnp.shape, offline.y), "shaped like respond(...).y")
        samples.append(offline)
    for sample in samples:
        reward = _scalars("reward", lambda y: game.reward(phi, y), sample)
        utility = _scalars("utility", game.utility, sample)
        blind = _scalars("blind_spot", game.blind_spot, sample)
        _require(np.all(np.isfinite(reward)), "reward(phi, y)", reward, "finite")
        _require(
            np.all(utility <= optimum * (1 + 1e-6) + 1e-6), "utility(y)", utility.max(), f"<= optimum() = {optimum}"
        )
        _require(np.all((blind >= 0) & (blind <= 1)), "blind_spot(y)", blind, "in [0, 1]")
    cost = jnp.shape(game.cost(theta, responses))
    _require(cost == (), "cost(theta, responses)", f"array of shape {cost}", "a scalar")
    for name, value in game.diagnostics(theta).items():
        shape = jnp.shape(value)
        _require(shape == (), f"diagnostics(theta)[{name!r}]", f"array of shape {shape}", "a scalar")


def _check_sample(responses: Responses) -> None:
    check_shapes(responses)
    check_weights(responses)


def _scalars(method: str, f: object, responses: Responses) -> np.ndarray:
    values = np.asarray(jax.jit(jax.vmap(f))(responses.y))  # type: ignore[arg-type]
    _require(values.ndim == 1, f"{method}(y)", f"array of shape {values.shape[1:]}", "a scalar")
    return values


def _check_gradients(game: Game, theta: Theta, phi: Theta, key: jax.Array) -> None:
    def by_theta(t: Theta) -> jax.Array:
        return leader_value(game, t, phi, game.respond(t, key))

    def by_phi(p: Theta) -> jax.Array:
        return leader_value(game, theta, p, game.respond(theta, key))

    for name, f, x in (("theta", by_theta, theta), ("phi", by_phi, phi)):
        gradient, _ = jax.flatten_util.ravel_pytree(jax.grad(f)(x))
        double = gradient.dtype == jnp.float64
        scheme = CentralDifference(1e-5 if double else 1e-2)
        difference, _ = jax.flatten_util.ravel_pytree(scheme.gradient(f, x))
        error = np.max(np.abs(gradient - difference)) / max(np.max(np.abs(difference)), 1e-3)
        _require(
            error <= (1e-6 if double else 2e-2),
            f"gradient of J in {name}",
            f"off its central difference by {error:.1e}",
            "equal to it: something is detached or not differentiable",
        )
