"""How a run starts: its seed, its instance, its first state, and what is checked before.

Instances and initial states are drawn in double precision and then cast to the precision of the run, so that
a seed means the same instance in either. Random numbers that are drawn during a run are of its own precision.
"""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PyTree

from fpo_jax.engine.compilation import LIGHTLY, Compiled, is_traced
from fpo_jax.engine.lanes import apart, divided, together
from fpo_jax.errors import InputError
from fpo_jax.expect import check_shapes, check_weights
from fpo_jax.hyperparameters import validate
from fpo_jax.leader import Leader
from fpo_jax.numerics.keys import named_key
from fpo_jax.numerics.linear_solve import STATIONARY_ENOUGH
from fpo_jax.record import is_finite
from fpo_jax.types import Environment, Follower, Game, Key, Phi, Responses, Scalar, State, Theta

SEED_LIMIT = 2**31
"""Seeds lie below this number, so that a seed means the same in either precision."""


class Reached(NamedTuple):
    """What a run has reached: a state, and whether all of its numbers are finite."""

    state: State
    finite: Array


class Begun(NamedTuple):
    """How runs begin that stand side by side.

    Attributes:
        shared: what all their games have in common, None in the place of what they have not.
        own: [lane, …] of what each game has of its own, None in the place of the rest.
        first: [lane, …] what is reached before any update.
        optimum: [lane] the true utility that no policy exceeds, computed in double precision.
    """

    shared: Any
    own: Any
    first: Reached
    optimum: Array

    def games(self, runs: int) -> Game:
        """Return the games of so many runs, each in full: [run, …]."""
        own, lanes = jax.tree.map(lambda leaf: leaf[:runs], self.own), jnp.arange(runs)
        return cast(Game, jax.vmap(lambda _, lane: together(self.shared, lane))(lanes, own))


def seed_keys(seeds: int, first_seed: int = 0) -> Key:
    """Return the keys of seeds first_seed … first_seed + seeds − 1; a seed's key is the same in any batch.

    Raises:
        InputError: when there is no seed, or one lies outside [0, 2³¹).
    """
    if seeds < 1:
        raise InputError("seeds", seeds, "an integer >= 1")
    if first_seed < 0 or first_seed + seeds > SEED_LIMIT:
        raise InputError("seed", first_seed, f"an integer >= 0 and <= {SEED_LIMIT - seeds}")
    return _keys(np.arange(first_seed, first_seed + seeds, dtype=np.int32))


@partial(Compiled, options=LIGHTLY)
def _keys(seeds: Int[Array, " n"]) -> Key:
    return jax.vmap(jax.random.key)(seeds)


def instance(environment: Environment | Game, key: Key) -> Game:
    """Draw the instance that a run with this key meets, in double precision, cast to that of JAX's default.

    Within a function that JAX traces it is drawn in the default precision, which cannot be changed there: in
    float32 that is another instance. Draw it outside, and hand it in.
    """
    with in_double((environment, key)) as precision:
        return cast(Game, at_precision(environment.draw(named_key(key, "instance")), precision))


@contextmanager
def in_double(arguments: PyTree) -> Iterator[str]:
    """Compute in double precision where nothing is traced; yield the name of the default precision.

    Where something is traced that cannot be done. In float32 the instance is then another one, and a warning
    says so.
    """
    precision = jnp.result_type(float).name
    if not is_traced(arguments):
        with jax.enable_x64(True):
            yield precision
        return
    if precision == "float32":
        warnings.warn(
            "within a traced function (jit, grad, vmap over keys) an instance is drawn in float32: another "
            "one than outside. Draw it outside by fpo_jax.engine.initial.instance, or set jax_enable_x64",
            stacklevel=3,
        )
    yield precision


def at_precision(tree: PyTree, precision: str) -> PyTree:
    """Return single and double numbers in this precision, and with "float32" integers of 32 bits."""
    to = {"float32": precision, "float64": precision}
    if precision == "float32":
        to |= {"int64": "int32", "uint64": "uint32"}

    def converted(leaf: Any) -> Array:
        array = jnp.asarray(leaf)
        return jax.lax.convert_element_type(array, to.get(array.dtype.name, array.dtype))

    return jax.tree.map(converted, tree)


def initial_state(
    game: Game, follower: Follower, key: Key, initial: tuple[Theta, Phi] | None = None
) -> State:
    """Return the state before any update, from the game's own (θ₀, φ₀) or from injected ones."""
    theta, phi = game.init(named_key(key, "initial parameters")) if initial is None else initial
    return State(theta, follower.init(game, theta, phi, named_key(key, "initial data")))


def as_reals(players: PyTree) -> PyTree:
    """Turn Python integers into floats: a weight of 1 must not compile another program than one of 1.0."""
    return jax.tree.map(lambda leaf: float(leaf) if type(leaf) is int else leaf, players)


def beginning(game: Game, follower: Follower, key: Key, initial: tuple[Theta, Phi] | None = None) -> Reached:
    """Return what a run of this game has reached before any update."""
    state = initial_state(game, follower, key, initial)
    return Reached(state, is_finite(state))


def directly(program: Callable[..., Any], *arguments: Any, **static: Any) -> Any:
    """Call a program as it is."""
    return program(*arguments, **static)


def padded(keys: Key, devices: Sequence[jax.Device]) -> Key:
    """Return the keys, and the first of them again until the number of devices divides theirs."""
    missing = -len(keys) % len(devices)
    return jnp.concatenate([keys, jnp.broadcast_to(keys[:1], (missing, *keys.shape[1:]))])


class Start(NamedTuple):
    """What a run is started from."""

    environment: Environment | Game
    follower: Follower
    key: Key
    initial: tuple[Theta, Phi] | None = None


@partial(Compiled, options=LIGHTLY, static_argnames=("devices", "precision"))
def begin(
    environment: Environment | Game,
    follower: Follower,
    keys: Key,
    initial: tuple[Theta, Phi] | None,
    *,
    devices: tuple[jax.Device, ...],
    precision: str,
) -> Begun:
    """Draw the instance of each key, and what is reached before any update, spread over the devices.

    To be called in `in_double`, which yields the precision that comes out.
    """

    def start(common: Any, key: Key) -> Start:
        environment, follower, initial = common
        return Start(environment, follower, key, initial)

    common = environment, follower, initial
    return begin_lanes(start, common, padded(keys, devices), devices, precision)


def begin_lanes(
    start: Callable[[Any, Any], Start],
    common: PyTree,
    lanes: PyTree,
    devices: Sequence[jax.Device],
    precision: str,
) -> Begun:
    """Begin `start(common, lane)` of each lane, spread over the devices, whose number divides the lanes'."""

    def batch(common: Any, lanes: Any) -> Begun:
        common, lanes = (at_precision(tree, jnp.result_type(float).name) for tree in (common, lanes))

        def drawn(lane: Any) -> Game:
            environment, _, key, _ = start(common, lane)
            return environment.draw(named_key(key, "instance"))

        shared, own = apart(drawn, lanes)

        def one(own: Any, lane: Any) -> tuple[Reached, Scalar]:
            game, (_, follower, key, initial) = together(shared, own), start(common, lane)
            return beginning(game, follower, key, initial), game.optimum()

        return at_precision(Begun(shared, own, *jax.vmap(one)(own, lanes)), precision)

    by_lane: dict[str, Any] = {"shared": False, "own": True, "first": True, "optimum": True}
    return divided(batch, devices, Begun(**by_lane))(common, lanes)


def check_run(
    environment: Environment | Game,
    leader: Leader,
    follower: Follower,
    keys: Key,
    steps: int,
    every: int = 1,
) -> None:
    """Check what can be checked before runs with these keys, [n]: `check_players`, then `check_begun`."""
    environment, leader, follower = as_reals((environment, leader, follower))
    check_players(environment, leader, follower, keys, steps, every)
    device = jax.local_devices()[0]
    with in_double((environment, follower, keys)) as precision:
        begun = begin(environment, follower, keys, None, devices=(device,), precision=precision)
    check_begun(begun, follower, keys)


def check_players(
    environment: Environment | Game,
    leader: Leader,
    follower: Follower,
    keys: Key,
    steps: int,
    every: int = 1,
    initial: tuple[Theta, Phi] | None = None,
) -> None:
    """Check what can be checked before anything is drawn: classes, ranges, shapes."""
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
        _check_initial(environment, keys, initial)


def check_begun(begun: Begun, follower: Follower, keys: Key, call: Callable[..., Any] = directly) -> None:
    """Check the values of the first run as it begins, where none of them is traced.

    They are those of one program, `first`, which is run by `call`.
    """
    if is_traced((begun, follower, keys)):
        return
    responses, data, offline, residual = jax.device_get(call(first, begun, follower, keys))
    check_weights(responses.sample)
    _check_utility("utility(y)", responses.utility)
    if data is not None:
        _check_utility("utility(y) in the offline data", data.utility)
    if offline is None and not follower.brings_anchor and not np.all(np.asarray(follower.alpha) == 1.0):
        raise InputError("alpha", follower.alpha, "1, since this environment has no offline data")
    if not residual <= STATIONARY_ENOUGH:
        allowed = (
            "given a ridge > 0, or a larger one: the Hessian of its loss is singular, or so nearly that "
            f"rounding in {residual.dtype} decides its answer"
            if residual == np.inf
            else "one that reaches its best response here: with a reward affine in φ, or converged with more "
            f"steps (relative gradient at its answer {residual:.1e}, not 0)"
        )
        raise InputError("follower", type(follower).__name__, allowed)


def _check_initial(environment: Environment | Game, keys: Key, initial: tuple[Theta, Phi]) -> None:
    own = jax.eval_shape(lambda keys: environment.draw(keys[0]).init(keys[0]), keys)
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


def _check_utility(name: str, utility: np.ndarray) -> None:
    """Check that every response has a true utility, since a reward model that is trained on others has none.

    Raises:
        InputError: names the first response that has not.
    """
    for i in np.flatnonzero(~np.isfinite(utility))[:1]:
        raise InputError(f"{name}, response {i}", utility[i], "finite")


class Valued(NamedTuple):
    """A sample of responses, and the true utility of each."""

    sample: Responses
    utility: Array


@partial(Compiled, options=LIGHTLY)
def first(
    begun: Begun, follower: Follower, keys: Key
) -> tuple[Valued, Valued | None, Responses | None, Scalar | float]:
    """Return the first run's responses, its offline data, the items made of them, the follower's residual."""
    own, (theta, reward_model), key = jax.tree.map(lambda leaf: leaf[0], (begun.own, begun.first.state, keys))
    game = cast(Game, together(begun.shared, own))
    responses = game.respond(theta, key)
    check_shapes(responses)
    first = jax.tree.map(lambda leaf: leaf[0], responses.y)
    shape = jnp.shape(game.reward(reward_model.phi, first))
    if shape != ():
        raise InputError("reward", f"of shape {shape}", "a scalar")
    data_key = named_key(key, "initial data")
    if jnp.result_type(float) == jnp.float32:  # the start is of double precision, what comes is not
        reward_model = follower.update(game, theta, reward_model, data_key)
    residual = follower.residual(game, theta, reward_model, data_key)

    def valued(sample: Responses) -> Valued:
        return Valued(sample, jax.vmap(game.utility)(sample.y))

    data = game.offline()
    offline = follower.feedback.offline(game, key)
    return valued(responses), None if data is None else valued(data), offline, jnp.asarray(residual)
