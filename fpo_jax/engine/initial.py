"""How runs begin: their keys, their instances and their first states.

Instances and initial states are drawn in double precision and then cast to the precision of the run. So a
seed gives the same instance in both precisions. Random numbers during a run have the precision of the run.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PyTree

from fpo_jax.engine.compilation import LIGHTLY, Compiled, is_traced
from fpo_jax.engine.lanes import in_lanes, padded
from fpo_jax.errors import InputError
from fpo_jax.leader import Leader
from fpo_jax.numerics.keys import named_key
from fpo_jax.run import initial_state
from fpo_jax.types import Environment, Follower, Game, Key, Phi, Scalar, State, Theta

SEED_LIMIT = 2**31
"""Seeds lie below this number, so that a seed means the same in both precisions."""


class Beginning(NamedTuple):
    """How runs begin: every leaf has a leading axis of lanes.

    Attributes:
        game: the instance.
        state: the state before any update.
        optimum: the true utility that no policy exceeds, computed in double precision.
    """

    game: Game
    state: State
    optimum: Scalar


def seed_keys(seeds: int, first_seed: int = 0) -> Key:
    """Return the keys of seeds first_seed … first_seed + seeds − 1; a seed has the same key in any batch.

    Raises:
        InputError: when there is no seed, or one lies outside [0, 2³¹).
    """
    if seeds < 1:
        raise InputError("seeds", seeds, "an integer >= 1")
    if first_seed < 0 or first_seed + seeds > SEED_LIMIT:
        raise InputError("seed", first_seed, f"an integer >= 0 and <= {SEED_LIMIT - seeds}")
    return _keys(np.arange(first_seed, first_seed + seeds, dtype=np.int32))


def keys_of(seeds: int) -> jax.ShapeDtypeStruct:
    """Return the shape of the keys of this many seeds, without allocating anything."""
    return cast(jax.ShapeDtypeStruct, jax.eval_shape(_keys.jitted, jax.ShapeDtypeStruct((seeds,), np.int32)))


@partial(Compiled, options=LIGHTLY)
def _keys(seeds: Int[Array, " n"]) -> Key:
    return jax.vmap(jax.random.key)(seeds)


def instance(environment: Environment | Game, key: Key) -> Game:
    """Draw the instance of a run with this key, in double precision, cast to JAX's default precision.

    Inside a traced function it is drawn in the default precision, which cannot be changed there; in float32
    this gives another instance. Draw it outside, and pass it in.
    """
    with in_double((environment, key)) as precision:
        return cast(Game, at_precision(environment.draw(named_key(key, "instance")), precision))


def begin_run(
    environment: Environment | Game,
    follower: Follower,
    key: Key,
    initial: tuple[Theta, Phi] | None = None,
    leader: Leader | None = None,
) -> Beginning:
    """Return the beginning of a run in JAX's present precision; `leader` is given if it keeps anything."""
    game = follower.faced(environment.draw(named_key(key, "instance")))
    return Beginning(game, initial_state(game, follower, key, initial, leader), game.optimum())


def keeper(leader: Leader) -> Leader | None:
    """Return the leader if it keeps anything, else None, so that all others begin by one program."""
    return leader if leader.keeps else None


@partial(Compiled, options=LIGHTLY, static_argnames=("devices", "precision"))
def begin_runs(
    environment: Environment | Game,
    follower: Follower,
    keys: Key,
    initial: tuple[Theta, Phi] | None,
    leader: Leader | None = None,
    *,
    devices: tuple[jax.Device, ...],
    precision: str,
) -> Beginning:
    """Return the beginnings of the runs with these keys, spread over the devices.

    Call it inside `in_double`, which yields the precision of the result.
    """
    common = at_precision((environment, follower, initial, leader), jnp.result_type(float).name)

    def one(common: Any, key: Key) -> Beginning:
        environment, follower, initial, leader = common
        return begin_run(environment, follower, key, initial, leader)

    found = in_lanes(one, devices)(common, padded(keys, devices))
    return cast(Beginning, at_precision(found, precision))


@contextmanager
def in_double(arguments: PyTree) -> Iterator[str]:
    """Compute in double precision unless something is traced; yield the name of the default precision.

    Inside a traced function that is impossible. In float32 the instance is then another one, and a warning
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
    """Return real numbers in this precision; with "float32", also integers in 32 bits."""
    to = {"float32": precision, "float64": precision}
    if precision == "float32":
        to |= {"int64": "int32", "uint64": "uint32"}

    def converted(leaf: Any) -> Array:
        array = jnp.asarray(leaf)
        return jax.lax.convert_element_type(array, to.get(array.dtype.name, array.dtype))

    return jax.tree.map(converted, tree)


def as_reals(players: PyTree) -> PyTree:
    """Turn Python integers into floats: a weight of 1 must not compile another program than one of 1.0."""
    return jax.tree.map(lambda leaf: float(leaf) if type(leaf) is int else leaf, players)
