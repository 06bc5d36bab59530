"""Runs: the loop of `fpo_jax.run`, batched over keys, compiled, and cut into segments if someone watches."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from fpo_jax.engine.checks import (
    call_program,
    check_beginning,
    check_players,
    checked,
    first_run,
    named_if_not_differentiable,
)
from fpo_jax.engine.compilation import OLDER, Compiled, is_traced
from fpo_jax.engine.initial import Beginning, as_reals, begin_runs, in_double, keeper
from fpo_jax.engine.lanes import first_lane, in_lanes, padded, placed
from fpo_jax.engine.memory import Asked, Prepared, prepared, usable_bytes
from fpo_jax.engine.segments import OnEntry, Partway, Watch, entry_by_entry, in_segments, segment_lengths
from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import kebab
from fpo_jax.leader import Leader
from fpo_jax.record import Record, full_record
from fpo_jax.run import play
from fpo_jax.types import Environment, Follower, Game, Key, Phi, State, Theta, Trace


def run_seed(
    environment: Environment | Game,
    leader: Leader,
    follower: Follower,
    key: Key,
    *,
    steps: int,
    record: Record = full_record,
    every: int = 1,
    keep_states: bool = False,
    initial: tuple[Theta, Phi] | None = None,
    on_entry: OnEntry | None = None,
) -> tuple[State, Trace]:
    """Run iterative RLHF once: `fpo_jax.run.play`, compiled.

    Args:
        environment: a distribution over games, from which one instance is drawn; or one game.
        leader, follower: the two players. Their real-valued hyperparameters are traced: changing them
            compiles nothing.
        key: the only source of randomness; the same key means the same instance, start and noise. Instance
            and start are drawn in double precision, except inside a function traced in float32.
        steps: iterations T, >= 1.
        record: a function of (game, follower, state, key) that returns metrics; `full_record` or `outcome`.
        every: iterations from one entry of the trace to the next; it divides T.
        keep_states: also record θ and the reward model at every entry.
        initial: (θ₀, φ₀) in place of the game's own.
        on_entry: called for every entry in order, with its iteration and its metrics, while the run
            continues. The calls come after each of 20 to 50 segments, fewer in a short run. An exception ends
            the run. A different hook compiles nothing.

    Returns:
        The final state, and a trace of T / every + 1 entries, the first before any update.

    Raises:
        InputError: names a hyperparameter out of range, a misshapen or unnormalised policy, a follower that
            cannot keep its promise on this game, or a hook inside a traced function.
    """
    _, final, trace = run_by(
        call_program,
        *(environment, leader, follower, key[None]),
        devices=jax.local_devices()[:1],
        steps=steps,
        record=record,
        every=every,
        keep_states=keep_states,
        initial=initial,
        watch=entry_by_entry(on_entry, every, seed=0),
    )
    return cast(tuple[State, Trace], _only((final, trace)))


_only = jax.jit(first_lane)


def run_seeds(
    environment: Environment | Game,
    leader: Leader,
    follower: Follower,
    keys: Key,
    *,
    steps: int,
    record: Record = full_record,
    every: int = 1,
    keep_states: bool = False,
    initial: tuple[Theta, Phi] | None = None,
    on_entry: OnEntry | None = None,
) -> tuple[State, Trace]:
    """Run iterative RLHF for every key at once: `run_seed`, vmapped; all results have a leading seed axis.

    Seeds are spread over all local devices. `initial`, if given, is shared by all seeds. `on_entry` gets
    metrics of shape [seed]. See `run_seed` for the arguments and the errors raised.
    """
    if jnp.ndim(keys) == 0 or len(keys) == 0:
        raise InputError("keys", f"array of shape {jnp.shape(keys)}", "one key for each of >= 1 seeds")
    _, final, trace = run_by(
        call_program,
        *(environment, leader, follower, keys),
        devices=jax.local_devices(),
        steps=steps,
        record=record,
        every=every,
        keep_states=keep_states,
        initial=initial,
        watch=entry_by_entry(on_entry, every, seed=slice(None)),
    )
    return (final, trace) if on_entry is None else jax.tree.map(jnp.asarray, (final, trace))


def run_by(
    call: Callable[..., Any],
    environment: Environment | Game,
    leader: Leader,
    follower: Follower,
    keys: Key,
    *,
    devices: Sequence[jax.Device],
    steps: int,
    record: Record = full_record,
    every: int = 1,
    keep_states: bool = False,
    initial: tuple[Theta, Phi] | None = None,
    watch: Watch | None = None,
    partway: Partway | None = None,
    prepare: Callable[..., Prepared] = prepared,
) -> tuple[Beginning, State, Trace]:
    """Run as `run_seeds` does, through `call`, and also return how the runs began.

    There are three programs: the beginning, which runs once and is compiled lightly, the checks on it, and
    the iterations. Seeds are spread over `devices`, or over one device a seed if there are fewer seeds.

    With `watch` the iterations run segment by segment. It sees each segment when it is done, and the result
    is in the host's memory. The run can continue from a `partway` that an earlier run with the same arguments
    handed to `watch`. That holds the trace of all entries so far; its other arrays hold the seeds alone.

    `prepare` prepares the programs for `call`, so that memory is estimated before anything is drawn.
    """
    environment, leader, follower = as_reals((environment, leader, follower))
    traced = is_traced((environment, leader, follower, keys, initial))
    if watch is not None and traced:
        allowed = "None inside a function that JAX traces (jit, vmap, grad), where there are no numbers yet"
        raise InputError("on_entry", "given", allowed)
    how: dict[str, Any] = {"steps": steps, "record": record, "every": every, "keep_states": keep_states}
    if traced:
        check_players(environment, leader, follower, keys, steps, every, initial)
    else:
        estimated: dict[str, Any] = {
            "devices": devices,
            "initial": initial,
            "watched": watch is not None,
            "prepare": prepare,
        }
        require_memory(environment, leader, follower, keys, **how, **estimated)
    used = tuple(devices[: len(keys)])
    with in_double((environment, follower, keys, initial)) as precision:
        own = {"devices": used, "precision": precision}
        beginning = call(begin_runs, environment, follower, keys, initial, keeper(leader), **own)
    check_beginning(beginning, leader.objective, follower, keys, call)
    program = iterations(len(keys), devices)

    def advance(state: State, first: int, entries: int) -> tuple[State, Trace]:
        with named_if_not_differentiable(follower):
            found = call(
                program,
                *(leader, follower, beginning.game, state, keys, jnp.asarray(first)),
                devices=used,
                entries=entries,
                **how,
            )
        return cast(tuple[State, Trace], found)

    if watch is None:
        final, trace = jax.tree.map(
            lambda leaf: leaf[: len(keys)], advance(beginning.state, 0, steps // every)
        )
    else:
        lengths = segment_lengths(steps // every)
        final, trace = in_segments(advance, beginning.state, len(keys), lengths, every, watch, partway)
    return beginning, final, trace


def require_memory(
    environment: Environment | Game,
    leader: Leader,
    follower: Follower,
    keys: Key | jax.ShapeDtypeStruct,
    *,
    devices: Sequence[jax.Device],
    steps: int,
    every: int = 1,
    initial: tuple[Theta, Phi] | None = None,
    watched: bool = True,
    prepare: Callable[..., Prepared] = prepared,
    **how: Any,
) -> None:
    """Check the players, and that such runs by `run_by` fit into memory; `keys` may be a shape.

    It allocates nothing.

    Raises:
        InputError: as `check_players`, or says how many seeds, or iterations, fit.
    """
    environment, leader, follower = as_reals((environment, leader, follower))
    check_players(environment, leader, follower, keys, steps, every, initial)
    used = tuple(devices[: keys.shape[0]])
    sizes = keys.shape[0], steps // every, every, watched
    asked = Asked(kebab(type(environment).__name__), *sizes, len(used), usable_bytes(used))
    with in_double((environment, follower, initial)) as precision:
        own = {"devices": used, "precision": precision}
        begins = prepare(begin_runs, environment, follower, keys, initial, keeper(leader), **own)
    beginning = placed(begins.shapes, used)
    first = prepare(first_run, beginning, checked(leader.objective), follower, keys)
    part = segment_lengths(steps // every)[0] if watched else steps // every
    with named_if_not_differentiable(follower):
        goes_on = prepare(
            iterations(keys.shape[0], devices),
            *(leader, follower, beginning.game, beginning.state, keys, jnp.asarray(0)),
            devices=used,
            steps=steps,
            every=every,
            entries=part,
            **how,
        )
    asked.require_programs(begins, first, goes_on, part)


def first_divergence(trace: Trace) -> np.ndarray:
    """Return, for each seed, the first entry of its trace that is not finite, or -1 if all are."""
    finite = np.atleast_2d(np.asarray(trace.finite))
    return np.where(finite.all(axis=1), -1, np.argmin(finite, axis=1))


def _played(
    leader: Leader,
    follower: Follower,
    game: Game,
    state: State,
    keys: Key,
    first: Array,
    *,
    devices: tuple[jax.Device, ...],
    **options: Any,
) -> tuple[State, Trace]:
    """Return `play` for every lane; lanes are padded to a multiple of the devices."""

    def one(shared: Any, lane: Any) -> tuple[State, Trace]:
        (leader, follower, first), (game, state, key) = shared, lane
        return play(game, leader, follower, state, key, first=first, **options)

    return in_lanes(one, devices)((leader, follower, first), (game, state, padded(keys, devices)))


_STATIC = ("devices", "steps", "record", "every", "keep_states", "entries")
play_lanes = Compiled(_played, {}, static_argnames=_STATIC)
play_alone = Compiled(_played, OLDER, static_argnames=_STATIC)
"""For a lane alone on its device: the older code generator is as fast there."""


def iterations(seeds: int, devices: Sequence[jax.Device]) -> Compiled:
    """Return the program of the iterations of this many runs on these devices."""
    return play_alone if seeds <= len(devices) else play_lanes
