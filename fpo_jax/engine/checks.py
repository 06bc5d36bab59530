"""Checks before a run: classes, ranges and shapes, then the initial values of the first run."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from fpo_jax.engine.compilation import LIGHTLY, Compiled, is_traced
from fpo_jax.engine.initial import Beginning, as_reals, begin_runs, in_double, keeper
from fpo_jax.engine.lanes import first_lane
from fpo_jax.errors import InputError
from fpo_jax.expect import check_shapes, check_weights
from fpo_jax.hyperparameters import LARGEST, kebab, validate
from fpo_jax.leader import Leader, of_objective
from fpo_jax.numerics.keys import named_key
from fpo_jax.numerics.linear_solve import STATIONARY_ENOUGH
from fpo_jax.types import (
    Environment,
    Feedback,
    Follower,
    Game,
    Key,
    Objective,
    Phi,
    Responses,
    Scalar,
    State,
    Theta,
)

GONE = {
    "noise": "left out: `respond`, `sample` and `update` draw by the key that they are given",
    "prepared": "left out: what an update needs, it computes",
    "scored": "a method `score(item)`, which returns the factor alone",
    "seen": "called `known`",
}
"""Methods that games, followers, feedbacks and objectives no longer have."""


def call_program(program: Callable[..., Any], *arguments: Any, **static: Any) -> Any:
    """Call a program as it is."""
    return program(*arguments, **static)


def check_run(
    environment: Environment | Game,
    leader: Leader,
    follower: Follower,
    keys: Key,
    steps: int,
    every: int = 1,
) -> None:
    """Check runs with these keys, [n], before they start: `check_players`, then `check_beginning`."""
    environment, leader, follower = as_reals((environment, leader, follower))
    check_players(environment, leader, follower, keys, steps, every)
    device = jax.local_devices()[0]
    with in_double((environment, follower, keys)) as precision:
        own = {"devices": (device,), "precision": precision}
        beginning = begin_runs(environment, follower, keys, None, keeper(leader), **own)
    check_beginning(beginning, leader.objective, follower, keys)


def check_players(
    environment: Environment | Game,
    leader: Leader,
    follower: Follower,
    keys: Key | jax.ShapeDtypeStruct,
    steps: int,
    every: int = 1,
    initial: tuple[Theta, Phi] | None = None,
) -> None:
    """Check classes, ranges and shapes before anything is drawn."""
    if not isinstance(leader, Leader):
        raise InputError("leader", type(leader).__name__, "a Leader, made from an objective")
    for name, player, base in (
        ("objective", leader.objective, Objective),
        ("follower", follower, Follower),
        ("feedback", getattr(follower, "feedback", None), Feedback),
    ):
        if not isinstance(player, base) and not isinstance(player, type):
            allowed = f"one that inherits from fpo_jax.types.{base.__name__}"
            raise InputError(name, type(player).__name__, allowed)
    for owner in (environment, leader.objective, leader.differentiator, leader, follower.feedback, follower):
        if isinstance(owner, type):
            raise InputError("class", owner.__name__, f"an instance, such as {owner.__name__}()")
        require_new_methods(owner)
        validate(owner)
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or not 1 <= steps <= LARGEST:
        raise InputError("steps", steps, f"an integer >= 1 and <= {LARGEST}")
    if isinstance(every, bool) or not isinstance(every, int) or every < 1 or steps % every:
        raise InputError("every", every, f"an integer >= 1 that divides the {steps} iterations")
    if initial is not None:
        _check_initial(environment, follower, keys, initial)


def require_new_methods(player: object) -> None:
    """Check that a player was not written for the contracts of version 0.1.

    Raises:
        InputError: names the first removed method and its replacement.
    """
    for name, instead in GONE.items():
        if callable(getattr(type(player), name, None)):
            raise InputError(f"{type(player).__name__}.{name}", "a method", instead)


def check_beginning(
    beginning: Beginning,
    objective: Objective,
    follower: Follower,
    keys: Key,
    call: Callable[..., Any] = call_program,
) -> None:
    """Check the initial values of the first run, unless they are traced.

    One program, `first_run`, computes them; `call` runs it.
    """
    require_new_methods(beginning.game)
    if is_traced((beginning, objective, follower, keys)):
        return
    follower.check_start(beginning.state.reward_model)
    found = call(first_run, beginning, checked(objective), follower, keys)
    responses, data, offline, residual, value = jax.device_get(found)
    check_weights(responses.sample)
    _check_utility("utility(y)", responses.utility)
    if data is not None:
        _check_utility("utility(y) in the offline data", data.utility)
    if offline is None and not follower.brings_anchor and not np.all(np.asarray(follower.alpha) == 1.0):
        raise InputError("alpha", follower.alpha, "1, because this environment has no offline data")
    if not residual <= STATIONARY_ENOUGH:
        allowed = (
            "given a ridge > 0, or a larger one: the Hessian of its loss is singular, or so close to it that "
            f"rounding in {residual.dtype} decides its answer"
            if residual == np.inf
            else "one that reaches its best response here: with a reward affine in φ, or converged with more "
            f"steps (relative gradient at its answer {residual:.1e}, not 0)"
        )
        raise InputError("follower", type(follower).__name__, allowed)
    if not np.isfinite(value):
        raise InputError("objective", kebab(type(objective).__name__), objective.requirement)


def checked(objective: Objective) -> Objective | None:
    """Return the objective if its value at the start must be checked, or None if it requires nothing."""
    return objective if objective.requirement else None


def _check_initial(
    environment: Environment | Game,
    follower: Follower,
    keys: Key | jax.ShapeDtypeStruct,
    initial: tuple[Theta, Phi],
) -> None:
    own = jax.eval_shape(lambda keys: follower.faced(environment.draw(keys[0])).init(keys[0]), keys)
    for name, given, expected in zip(("theta", "phi"), initial, own, strict=True):
        shapes = jax.tree.map(jnp.shape, given), jax.tree.map(jnp.shape, expected)
        if shapes[0] != shapes[1]:
            raise InputError(f"initial {name}", f"of shape {shapes[0]}", f"of shape {shapes[1]}")


@contextmanager
def named_if_not_differentiable(follower: Follower) -> Iterator[None]:
    """Turn JAX's error about a function without a derivative into one line that names the follower."""
    try:
        yield
    except (TypeError, ValueError, NotImplementedError) as error:
        if isinstance(error, InputError) or not re.search("differentiat|JVP", str(error)):
            raise
        allowed = f"differentiable where the objective foresees it ({str(error).splitlines()[0]})"
        raise InputError("follower", type(follower).__name__, allowed) from error


def _check_utility(name: str, utility: np.ndarray) -> None:
    """Check that every response has a finite true utility; a reward model cannot be trained without it.

    Raises:
        InputError: names the first response without one.
    """
    for i in np.flatnonzero(~np.isfinite(utility))[:1]:
        raise InputError(f"{name}, response {i}", utility[i], "finite")


class Valued(NamedTuple):
    """A sample of responses, and the true utility of each."""

    sample: Responses
    utility: Array


@partial(Compiled, options=LIGHTLY)
def first_run(
    beginning: Beginning, objective: Objective | None, follower: Follower, keys: Key
) -> tuple[Valued, Valued | None, Responses | None, Scalar | float, Scalar | float]:
    """Return the first run's responses, offline data, items, follower's residual, and value of the objective.

    The value is 0 if it need not be checked.
    """
    (game, (theta, reward_model, earlier), _), key = first_lane((beginning, keys))
    if follower.feedback.label_budget is not None and game.places is None:
        allowed = "omitted, because this environment has no table of responses to draw from (`Game.places`)"
        raise InputError("label_budget", follower.feedback.label_budget, allowed)
    responses = game.respond(theta, key)
    check_shapes(responses)
    first = jax.tree.map(lambda leaf: leaf[0], responses.y)
    shape = jnp.shape(game.reward(reward_model.phi, first))
    if shape != ():
        raise InputError("reward", f"of shape {shape}", "a scalar")
    data_key = named_key(key, "initial data")
    if jnp.result_type(float) == jnp.float32:  # the start has double precision, later values need not
        reward_model = follower.update(game, theta, reward_model, data_key)
    residual = follower.residual(game, theta, reward_model, data_key)

    def valued(sample: Responses) -> Valued:
        return Valued(sample, jax.vmap(game.utility)(sample.y))

    data = game.offline()
    offline = follower.feedback.offline(game, key)
    value = jnp.zeros(())
    if objective is not None:
        state = of_objective(State(theta, reward_model, earlier))
        started = objective.for_iteration(game, follower, state, key)
        value = started.value(game, follower, theta, reward_model, key)
    return valued(responses), None if data is None else valued(data), offline, jnp.asarray(residual), value
