"""Iterative RLHF as a jitted scan: record, policy step, reward-model update, repeat.

Randomness: one key a run, split by named purpose, so that every objective faces the same instance, the
same initial parameters and the same noise. Comparisons between objectives are therefore paired.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, PyTree

from fpo_jax.engine.compilation import OLDER, Compiled, is_traced
from fpo_jax.engine.initial import (
    Begun,
    Reached,
    as_reals,
    begin,
    check_begun,
    check_players,
    directly,
    in_double,
    named_if_not_differentiable,
    padded,
)
from fpo_jax.engine.lanes import chunk_length, in_rows, scan_rows, spread, together
from fpo_jax.engine.segments import OnEntry, Partway, Watch, entry_by_entry, in_segments, segment_rows
from fpo_jax.engine.sharing import sharing
from fpo_jax.errors import InputError
from fpo_jax.leader import Leader
from fpo_jax.numerics.keys import named_key, named_keys
from fpo_jax.record import Record, defined, full_record, is_finite
from fpo_jax.steering import ForesightKeys, foresight_keys
from fpo_jax.types import Environment, Follower, Game, Key, Phi, Responses, State, Theta, Trace
from fpo_jax.wrappers import Wrapped

PLAYERS = "policy step", "reward-model update"


class PlayersKeys(NamedTuple):
    """The keys of one iteration, by what they are for.

    Attributes:
        policy: for the policy steps, split as they split it.
        data: for the reward model's update.
    """

    policy: ForesightKeys
    data: Key


class Noise(NamedTuple):
    """Random numbers that stand in for a run's own: `Game.noise`, with leading axes.

    Attributes:
        policy: [T, policy_steps, …] of the leader's steps.
        data: [T, draws, …] of the follower's draws, one where it takes its data at once; None where it draws
            them itself.
    """

    policy: PyTree
    data: PyTree


@struct.dataclass
class Injected(Wrapped):
    """A game whose samples come from noise that is given."""

    given: PyTree

    def respond(self, theta: Theta, key: Key) -> Responses:
        """Return the response to the first row of noise."""
        return self.game.respond(theta, jax.tree.map(lambda leaf: leaf[0], self.given))

    def sample(self, theta: Theta, key: Key, number: int) -> Responses:
        """Return the responses to all of the noise."""
        return jax.vmap(lambda noise: self.game.respond(theta, noise))(self.given)


class Moment(NamedTuple):
    """What an iteration and the entry before it are given.

    Attributes:
        done: how many iterations are done.
        record: the key of the entry.
        players: the keys of the iteration.
        noise: its random numbers, drawn ahead or injected.
    """

    done: Any
    record: Key
    players: PlayersKeys
    noise: Noise


def players_keys(key: Key | PlayersKeys) -> PlayersKeys:
    """Split the key of an iteration by player; what is split already stays as it is."""
    if isinstance(key, PlayersKeys):
        return key
    return _by_player(*(named_key(key, player) for player in PLAYERS))


def _by_player(policy_key: Key, data_key: Key) -> PlayersKeys:
    return PlayersKeys(foresight_keys(policy_key), data_key)


def drawn(game: Game, leader: Leader, follower: Follower, key: Key | PlayersKeys) -> Noise:
    """Return the random numbers of the iteration with this key: those that `step` would draw itself."""
    keys = players_keys(key)
    return Noise(game.noise(keys.policy.evaluation, leader.policy_steps), follower.noise(game, keys.data))


def step(
    game: Game,
    leader: Leader,
    follower: Follower,
    state: State,
    key: Key | PlayersKeys,
    noise: Noise | None = None,
) -> State:
    """Return the state after one iteration: the policy steps, then the reward model is retrained on it.

    Game and leader are those of the moment (`Game.at`, `Leader.at`); `noise` is that of one iteration.
    """
    policy_noise, data_noise = (None, None) if noise is None else noise
    seen = game if data_noise is None else cast(Game, Injected(game, data_noise))
    keys = players_keys(key)
    theta = leader.update(game, follower, state.theta, state.reward_model, keys.policy, policy_noise)
    return State(theta, follower.update(seen, theta, state.reward_model, keys.data))


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
    noise: Noise | None = None,
    on_entry: OnEntry | None = None,
) -> tuple[State, Trace]:
    """Run iterative RLHF once: a jitted scan over iterations.

    Args:
        environment: a distribution over games, of which one instance is drawn; or one game.
        leader, follower: the two players. Their real-valued hyperparameters are traced: changing them
            compiles nothing.
        key: the only source of randomness; the same key means the same instance, start and noise. Instance
            and start are drawn in double precision, but within a function that is traced in float32.
        steps: iterations T, >= 1.
        record: what to record, a function of (game, follower, state, key); `full_record` or `outcome`.
        every: iterations from one entry of the trace to the next; it divides T.
        keep_states: also record θ and the reward model at every entry.
        initial: (θ₀, φ₀) in place of the game's own.
        noise: random numbers in place of the game's own, for a game that has some (`Game.noise`).
        on_entry: called for every entry in order, with its iteration and its metrics, while the run goes on:
            after each of 20 to 50 segments of it, fewer where it is short. What it raises ends the run.
            Another hook compiles nothing.

    Returns:
        The final state, and a trace of T / every + 1 entries of which the first is before any update.

    Raises:
        InputError: names a hyperparameter out of range, a misshapen or unnormalised policy, a follower
            that cannot keep its promise on this game, a hook within a function that JAX traces.
    """
    _, final, trace = run_by(
        directly,
        *(environment, leader, follower, key[None]),
        devices=jax.local_devices()[:1],
        steps=steps,
        record=record,
        every=every,
        keep_states=keep_states,
        initial=initial,
        noise=noise,
        watch=entry_by_entry(on_entry, every, seed=0),
    )
    return _only((final, trace))


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
    """Run iterative RLHF for every key at once: `run`, vmapped; all results have a leading seed axis.

    Seeds are spread over all local devices. `initial`, if given, is shared by all seeds. `on_entry` gets
    metrics of shape [seed]. See `run` for the arguments and the errors raised.
    """
    if jnp.ndim(keys) == 0 or len(keys) == 0:
        raise InputError("keys", f"array of shape {jnp.shape(keys)}", "one key for each of >= 1 seeds")
    _, final, trace = run_by(
        directly,
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
    noise: Noise | None = None,
    watch: Watch | None = None,
    partway: Partway | None = None,
) -> tuple[Begun, State, Trace]:
    """Run as `run_seeds`, by programs that `call` calls, and also return how the runs began.

    There are three: the beginning, which runs once and is compiled lightly, what is checked of it, and the
    iterations. Seeds are spread over `devices`, or as many of them as there are seeds; `noise` is the same
    for all.

    With `watch` the iterations run segment by segment; it sees each when it is done, and what is returned
    lies in the host's memory. From `partway`, which it saw in an earlier run of the same arguments, the run
    goes on: its trace holds all entries up to there, its other arrays the seeds alone.
    """
    environment, leader, follower = as_reals((environment, leader, follower))
    check_players(environment, leader, follower, keys, steps, every, initial)
    if watch is not None and is_traced((environment, leader, follower, keys, initial, noise)):
        allowed = "None within a function that JAX traces (jit, vmap, grad): there are no numbers yet to see"
        raise InputError("on_entry", "given", allowed)
    if noise is not None:
        _check_noise(environment, keys[0], noise, steps, leader.policy_steps)
    used = tuple(devices[: len(keys)])
    with in_double((environment, follower, keys, initial)) as precision:
        begun = call(begin, environment, follower, keys, initial, devices=used, precision=precision)
    check_begun(begun, follower, keys, call)
    options: dict[str, Any] = {
        "devices": used,
        "steps": steps,
        "record": record,
        "every": every,
        "keep_states": keep_states,
    }
    if watch is None:
        with named_if_not_differentiable(follower):
            program = iterate_alone if len(keys) <= len(devices) else iterate_lanes
            final, trace = call(program, leader, follower, noise, begun, keys, **options)
            return begun, final, trace
    rows = segment_rows(_rows(steps, every))

    def advance(reached: Reached, done: int) -> tuple[Reached, Trace]:
        arguments = leader, follower, noise, begun, reached, keys, jnp.asarray(done)
        with named_if_not_differentiable(follower):
            program = continuing(len(keys), devices)
            return cast(tuple[Reached, Trace], call(program, *arguments, **options, rows=rows))

    entries, length = steps // every + 1, rows * _entries_of_row(steps, every)
    last, trace = in_segments(advance, begun.first, len(keys), entries, length, watch, partway)
    return begun, last.state, trace


def first_divergence(trace: Trace) -> np.ndarray:
    """Return, for each seed, the first entry of its trace that was not finite, or -1 where all were."""
    finite = np.atleast_2d(np.asarray(trace.finite))
    return np.where(finite.all(axis=1), -1, np.argmin(finite, axis=1))


def chunk_of(steps: int) -> int:
    """Return how many iterations make a chunk of a run with an entry after each.

    It computes a chunk too many, so that is short where iterations are few: one of fewer than 8, at most 4 of
    fewer than 250, at most 2 % of more, and never above 16.
    """
    return chunk_length(steps, most=min(16, max(1, min(4, steps // 4), steps // 50)))


def iterations_computed(steps: int) -> int:
    """Return how many iterations a run with an entry after each computes: a chunk of them leads nowhere."""
    return steps + chunk_of(steps)


def _entries_of_row(steps: int, every: int) -> int:
    """Return how many entries a row has: what is scanned over is a chunk, or an entry and what follows it."""
    return chunk_of(steps) if every == 1 else 1


def _rows(steps: int, every: int) -> int:
    """Return how many rows hold all entries."""
    return -(-(steps // every + 1) // _entries_of_row(steps, every))


def iterate(
    game: Game,
    leader: Leader,
    follower: Follower,
    first: Reached,
    key: Key,
    noise: Noise | None = None,
    *,
    steps: int,
    record: Record,
    every: int,
    keep_states: bool = False,
) -> tuple[State, Trace]:
    """Return the final state and the trace of one run from its beginning: a function to be traced."""
    options: dict[str, Any] = {"steps": steps, "record": record, "every": every, "keep_states": keep_states}
    rows = _rows(steps, every)
    last, trace = segment(game, leader, follower, first, key, noise, 0, rows=rows, **options)
    return last.state, jax.tree.map(lambda leaf: leaf[: steps // every + 1], trace)


def segment(
    game: Game,
    leader: Leader,
    follower: Follower,
    first: Reached,
    key: Key,
    noise: Noise | None,
    begin: Array | int,
    *,
    steps: int,
    record: Record,
    every: int,
    keep_states: bool,
    rows: int,
) -> tuple[Reached, Trace]:
    """Return what one run reaches from `first`, and so many rows of its trace: a function to be traced.

    `begin` entries are done before, those of whole rows. Rows beyond the last entry lead nowhere. An
    iteration stands in the program once, and so does an entry: compiling takes longer than most runs.
    """
    iteration_keys = jax.random.split(named_key(key, "iterations"), steps)
    entry_keys = jnp.concatenate([named_key(key, "first entry")[None], iteration_keys])

    @jax.vmap
    def moment(done: Array) -> Moment:
        key, given = jax.tree.map(lambda leaf: leaf[jnp.minimum(done, steps - 1)], (iteration_keys, noise))
        bases = jnp.stack([entry_keys[done], key, key])
        record_key, *player_keys = named_keys(bases, ("record", *PLAYERS))
        players = _by_player(*player_keys)
        ahead = drawn(game, leader, follower, players) if noise is None else given
        return Moment(jnp.minimum(done, steps), record_key, players, ahead)

    def entry(reached: Reached, done: Array, record_key: Key) -> Trace:
        metrics = record(game.at(done / steps), follower, reached.state, record_key)
        finite = reached.finite & is_finite(defined(metrics))
        return Trace(metrics, reached.state if keep_states else None, finite)

    def iteration(state: State, moment: Moment) -> tuple[State, None]:
        progress = moment.done / steps
        now = game.at(progress), leader.at(progress), follower
        return step(*now, state, moment.players, moment.noise), None

    def entry_and_iteration(reached: Reached, moment: Moment) -> tuple[Reached, Trace]:
        state, _ = iteration(reached.state, moment)
        return Reached(state, is_finite(state)), entry(reached, moment.done, moment.record)

    def chunk(reached: Reached, done: Array) -> tuple[Reached, Trace]:
        after, entries = scan_rows(entry_and_iteration, reached, moment(done))
        # The last chunk begins with the last entry, and leads nowhere. That is a choice, since a condition
        # would keep an entry and an iteration from sharing what they compute of a state.
        return jax.tree.map(partial(jnp.where, done[0] < steps), after, reached), entries

    def iterations(state: State, done: Array) -> tuple[State, None]:
        return scan_rows(iteration, state, moment(done))

    def to_next_entry(reached: Reached, done: Array) -> tuple[Reached, Trace]:
        def go_on(reached: Reached) -> Reached:
            chunks = in_rows(chunk_length(every), done + jnp.arange(every))
            state, _ = jax.lax.scan(iterations, reached.state, chunks)
            return Reached(state, is_finite(state))

        after = jax.lax.cond(done < steps, go_on, lambda reached: reached, reached)
        return after, entry(reached, done, named_key(entry_keys[done], "record"))

    if every > 1:
        return jax.lax.scan(sharing(to_next_entry), first, every * (begin + jnp.arange(rows)))
    length = chunk_of(steps)
    last, chunks = jax.lax.scan(chunk, first, in_rows(length, begin + jnp.arange(rows * length)))
    return last, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), chunks)


def _continued(
    leader: Leader,
    follower: Follower,
    noise: Noise | None,
    begun: Begun,
    reached: Reached,
    keys: Key,
    begin: Array | int,
    *,
    devices: tuple[jax.Device, ...],
    **options: Any,
) -> tuple[Reached, Trace]:
    """Return `segment` of every lane; there are more lanes than keys where the devices need them."""

    def one(shared: Any, lane: Any) -> tuple[Reached, Trace]:
        game, leader, follower, noise, begin = shared
        own, reached, key = lane
        return segment(together(game, own), leader, follower, reached, key, noise, begin, **options)

    lanes = begun.own, reached, padded(keys, devices)
    shared = begun.shared, leader, follower, noise, begin
    return cast(tuple[Reached, Trace], spread(one, devices)(shared, lanes))


def _iterated(
    leader: Leader, follower: Follower, noise: Noise | None, begun: Begun, keys: Key, **options: Any
) -> tuple[State, Trace]:
    """Return the final state and the trace of every key."""
    steps, every = options["steps"], options["every"]
    arguments = leader, follower, noise, begun, begun.first, keys, 0
    last, trace = _continued(*arguments, **options, rows=_rows(steps, every))
    whole = jax.tree.map(lambda leaf: leaf[:, : steps // every + 1], trace)
    return cast(tuple[State, Trace], jax.tree.map(lambda leaf: leaf[: len(keys)], (last.state, whole)))


_STATIC = ("devices", "steps", "record", "every", "keep_states")
iterate_lanes = Compiled(_iterated, {}, static_argnames=_STATIC)
# A lane alone on its device: what the older code generator makes of single games runs as fast.
iterate_alone = Compiled(_iterated, OLDER, static_argnames=_STATIC)
continue_lanes = Compiled(_continued, {}, static_argnames=(*_STATIC, "rows"))
continue_alone = Compiled(_continued, OLDER, static_argnames=(*_STATIC, "rows"))


def continuing(seeds: int, devices: Sequence[jax.Device]) -> Compiled:
    """Return the program of a segment of so many runs on these devices."""
    return continue_alone if seeds <= len(devices) else continue_lanes


@jax.jit
def _only(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[0], tree)


def _check_noise(
    environment: Environment | Game, key: Key, noise: Noise, steps: int, policy_steps: int
) -> None:
    own = jax.eval_shape(lambda k: environment.draw(k).noise(k, 1), key)
    if any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(own)):
        name = type(environment).__name__
        raise InputError("noise", "given", f"None: {name} draws none that could be injected")
    for name, leading in (("policy", (steps, policy_steps)), ("data", (steps, None))):
        for leaf, one in zip(jax.tree.leaves(getattr(noise, name)), jax.tree.leaves(own), strict=True):
            allowed = [*leading, *one.shape[1:]]
            shape = list(jnp.shape(leaf))
            if len(shape) != len(allowed) or any(
                a not in (None, s) for a, s in zip(allowed, shape, strict=True)
            ):
                shown = str(allowed).replace("None", "draws")
                raise InputError(f"noise.{name}", f"of shape {shape}", f"of shape {shown}")
