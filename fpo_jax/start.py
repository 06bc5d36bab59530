"""How a run starts: its seed, its instance, its first state, and what is checked before."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from fpo_jax.expect import check_shapes, check_weights
from fpo_jax.hyperparameters import InputError, validate
from fpo_jax.keys import named_key
from fpo_jax.leader import Leader
from fpo_jax.types import (
    Environment,
    Follower,
    Game,
    Key,
    Phi,
    Responses,
    Scalar,
    State,
    Theta,
)

SEED_LIMIT = 2**31
"""Seeds lie below this number, so that a seed means the same in either precision."""

LIGHTLY: dict[str, bool | int | str] = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
}
"""What XLA is told of a program that runs once: it compiles in a third of the time."""


def seed_keys(seeds: int, first_seed: int = 0) -> Key:
    """Return the keys of seeds first_seed … first_seed + seeds − 1; a seed's key is the same in any batch.

    Raises:
        InputError: when there is no seed, or one lies outside [0, 2³¹).
    """
    if seeds < 1:
        raise InputError("seeds", seeds, "an integer >= 1")
    if first_seed < 0 or first_seed + seeds > SEED_LIMIT:
        raise InputError("seed", first_seed, f"an integer >= 0 and <= {SEED_LIMIT - seeds}")
    return jax.vmap(jax.random.key)(jnp.arange(first_seed, first_seed + seeds))


def instance(environment: Environment | Game, key: Key) -> Game:
    """Draw the instance that a run with this key meets."""
    return environment.draw(named_key(key, "instance"))


def initial_state(
    game: Game, follower: Follower, key: Key, initial: tuple[Theta, Phi] | None = None
) -> State:
    """Return the state before any update, from the game's own (θ₀, φ₀) or from injected ones."""
    theta, phi = game.init(named_key(key, "initial parameters")) if initial is None else initial
    return State(theta, follower.init(game, theta, phi, named_key(key, "initial data")))


def as_reals(players: PyTree) -> PyTree:
    """Turn Python integers into floats: a weight of 1 must not compile another program than one of 1.0."""
    return jax.tree.map(lambda leaf: float(leaf) if type(leaf) is int else leaf, players)


def check_run(
    environment: Environment | Game,
    leader: Leader,
    follower: Follower,
    key: Key,
    steps: int,
    every: int = 1,
    initial: tuple[Theta, Phi] | None = None,
    call: Callable[..., Any] = lambda program, *arguments: program(*arguments),
) -> None:
    """Check what can be checked before a run: ranges always, values where none of them is traced.

    The values are those of one program, `first`, which is run by `call`.
    """
    if not isinstance(leader, Leader):
        raise InputError("leader", type(leader).__name__, "a Leader, made from an objective")
    for owner in (environment, leader.objective, leader.differentiator, leader, follower.feedback, follower):
        if isinstance(owner, type):
            raise InputError("class", owner.__name__, f"an instance, such as {owner.__name__}()")
        validate(owner)
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise InputError("steps", steps, "an integer >= 1")
    if isinstance(every, bool) or not isinstance(every, int) or every < 1 or steps % every:
        raise InputError("every", every, f"an integer >= 1 that divides the {steps} iterations")
    if initial is not None:
        _check_initial(environment, key, initial)
    values = jax.tree.leaves((environment, leader, follower, key, initial))
    if any(isinstance(value, jax.core.Tracer) for value in values):
        return
    responses, offline, residual = call(first, environment, follower, key, initial)
    check_weights(responses)
    if offline is None and not follower.brings_anchor and not np.all(np.asarray(follower.alpha) == 1.0):
        raise InputError("alpha", follower.alpha, "1, since this environment has no offline data")
    if not residual <= 1e-3:
        allowed = (
            "given a ridge > 0, since the Hessian of its loss is singular"
            if residual == np.inf
            else "one that reaches its best response here: with a reward affine in φ, or converged with more "
            f"steps (relative gradient at its answer {residual:.1e}, not 0)"
        )
        raise InputError("follower", type(follower).__name__, allowed)


def _check_initial(environment: Environment | Game, key: Key, initial: tuple[Theta, Phi]) -> None:
    own = jax.eval_shape(lambda k: instance(environment, k).init(k), key)
    for name, given, expected in zip(("theta", "phi"), initial, own, strict=True):
        shapes = jax.tree.map(jnp.shape, given), jax.tree.map(jnp.shape, expected)
        if shapes[0] != shapes[1]:
            raise InputError(f"initial {name}", f"of shape {shapes[0]}", f"of shape {shapes[1]}")


@contextmanager
def named_if_not_differentiable(follower: Follower) -> Iterator[None]:
    """Turn what JAX says of a function without a derivative into one line that names the follower."""
    try:
        yield
    except (TypeError, ValueError, NotImplementedError) as error:
        if isinstance(error, InputError) or not re.search("differentiat|JVP", str(error)):
            raise
        allowed = f"differentiable where the objective foresees it ({str(error).splitlines()[0]})"
        raise InputError("follower", type(follower).__name__, allowed) from error


@partial(jax.jit, compiler_options=LIGHTLY)
def first(
    environment: Environment | Game, follower: Follower, key: Key, initial: tuple[Theta, Phi] | None
) -> tuple[Responses, Responses | None, Scalar | float]:
    """Return the first responses, the offline data if there are any, and the follower's first residual."""
    game = instance(environment, key)
    theta, reward_model = initial_state(game, follower, key, initial)
    responses = game.respond(theta, key)
    check_shapes(responses)
    first = jax.tree.map(lambda leaf: leaf[0], responses.y)
    shape = jnp.shape(game.reward(reward_model.phi, first))
    if shape != ():
        raise InputError("reward", f"of shape {shape}", "a scalar")
    residual = follower.residual(game, theta, reward_model, named_key(key, "initial data"))
    return responses, follower.feedback.offline(game, key), residual
