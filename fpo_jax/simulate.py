"""Iterative RLHF as one jitted scan: policy step, reward-model update, record, repeat.

Randomness: one key a run, split by named purpose, so that every objective faces the same instance, the
same initial parameters and the same noise. Comparisons between objectives are therefore paired.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, PyTree

from fpo_jax.differentiate import Autodiff, Differentiator
from fpo_jax.expect import check_shapes, check_weights
from fpo_jax.hyperparameters import InputError, count, real, validate
from fpo_jax.keys import named_key
from fpo_jax.record import Record, full_record, is_finite
from fpo_jax.schedule import annealed
from fpo_jax.steering import ForesightKeys, foresight_keys
from fpo_jax.types import (
    Environment,
    Follower,
    Game,
    Key,
    Objective,
    Phi,
    Responses,
    RewardModel,
    Scalar,
    State,
    Theta,
    Trace,
)
from fpo_jax.wrapped import Wrapped

LANES = "lanes"
"""Name of the axis along which runs stand side by side, and which is divided among devices."""
SEED_LIMIT = 2**31
"""Seeds lie below this number, so that a seed means the same in either precision."""


@struct.dataclass
class Leader:
    """The policy's side of the game: what it ascends, how it differentiates, how far it steps.

    θ ← θ + lr(p) · clamp(∇_θ objective), `policy_steps` times at the same reward model, each with noise of
    its own. lr(p) = policy_lr · (1 − policy_lr_decay · pᵖᵒʷᵉʳ) at progress p, power = policy_lr_power; the
    clamp holds each coordinate to ±gradient_clip (paper, neural environment; the linear one has neither).
    """

    objective: Objective
    policy_lr: float = real(0.02, "learning rate of the policy", low=0.0)
    differentiator: Differentiator = Autodiff()
    policy_steps: int = count(1, "policy steps between two updates of the reward model")
    policy_lr_decay: float = real(0.0, "share of the learning rate lost by the end", low=0.0, high=1.0)
    policy_lr_power: float = real(4.0, "how late the learning rate is lost", low=0.0, open=True)
    gradient_clip: float = real(0.0, "largest size of a gradient's coordinate; 0: none", low=0.0)

    def check(self) -> None:
        """Raise an InputError when U should be detached from a difference, which cannot detach anything."""
        utility = getattr(self.objective, "utility", "differentiated")
        if utility != "differentiated" and not isinstance(self.differentiator, Autodiff):
            allowed = "differentiated, unless the differentiator is autodiff: a difference cannot detach it"
            raise InputError("utility", utility, allowed)

    def at(self, progress: Scalar | float) -> "Leader":
        """Return the leader with the learning rate that it has at this progress."""
        final = self.policy_lr * (1.0 - self.policy_lr_decay)
        now = annealed(self.policy_lr, final, self.policy_lr_power, progress)
        return self.replace(policy_lr=now)  # type: ignore[attr-defined]

    def update(
        self,
        game: Game,
        follower: Follower,
        theta: Theta,
        reward_model: RewardModel,
        key: Key,
        noise: PyTree | None = None,
    ) -> Theta:
        """Return θ after `policy_steps` ascent steps; `noise`, if given, has one row of each leaf a step."""
        bound = jnp.where(self.gradient_clip > 0, self.gradient_clip, jnp.inf)
        evaluation_key, data_key = foresight_keys(key)
        evaluation = game.noise(evaluation_key, self.policy_steps) if noise is None else noise
        keys = ForesightKeys(evaluation, jax.random.split(data_key, self.policy_steps))

        def step(theta: Theta, step_keys: Any) -> tuple[Theta, None]:
            gradient = self.differentiator.gradient(
                lambda t: self.objective.value(game, follower, t, reward_model, step_keys), theta
            )
            clamped = jax.tree.map(lambda g: jnp.clip(g, -bound, bound), gradient)
            return jax.tree.map(lambda t, g: t + self.policy_lr * g, theta, clamped), None

        if self.policy_steps == 1:  # a loop of one would only hide the step from the compiler
            return step(theta, jax.tree.map(lambda leaf: leaf[0], keys))[0]
        return _scan_rows(step, theta, keys)[0]


def _scan_rows(body: Callable[[Any, Any], tuple[Any, Any]], carry: Any, rows: PyTree) -> tuple[Any, Any]:
    """Return `jax.lax.scan`, with every row read where it lies, flat.

    With seeds in front, scan itself would first bring the rows there; and XLA would compute random numbers
    within that transposition, or in the shape of a short row, one at a time rather than eight.
    """
    number = jax.tree.leaves(rows)[0].shape[0]
    flat = jax.tree.map(lambda leaf: leaf.reshape(number, -1), rows)

    def at(carry: Any, i: Array) -> tuple[Any, Any]:
        return body(carry, jax.tree.map(lambda leaf, like: leaf[i].reshape(like.shape[1:]), flat, rows))

    return jax.lax.scan(at, carry, jnp.arange(number))


def instance(environment: Environment | Game, key: Key) -> Game:
    """Draw the instance that a run with this key meets."""
    return environment.draw(named_key(key, "instance"))


def initial_state(
    game: Game, follower: Follower, key: Key, initial: tuple[Theta, Phi] | None = None
) -> State:
    """Return the state before any update, from the game's own (θ₀, φ₀) or from injected ones."""
    theta, phi = game.init(named_key(key, "initial parameters")) if initial is None else initial
    return State(theta, follower.init(game, theta, phi, named_key(key, "initial data")))


Moment = tuple[Any, Key, Any]
"""What an iteration is given: how many are done, its key, its noise if that is injected."""


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


def drawn(game: Game, leader: Leader, follower: Follower, key: Key) -> Noise:
    """Return the random numbers of the iteration with this key: those that `step` would draw itself."""
    policy_key, data_key = _players_keys(key)
    evaluation_key = foresight_keys(policy_key).evaluation
    return Noise(game.noise(evaluation_key, leader.policy_steps), follower.noise(game, data_key))


def _players_keys(key: Key) -> tuple[Key, Key]:
    return named_key(key, "policy step"), named_key(key, "reward-model update")


def step(
    game: Game, leader: Leader, follower: Follower, state: State, key: Key, noise: Noise | None = None
) -> State:
    """Return the state after one iteration: the policy steps, then the reward model is retrained on it.

    Game and leader are those of the moment (`Game.at`, `Leader.at`); `noise` is that of one iteration.
    """
    policy_noise, data_noise = (None, None) if noise is None else noise
    seen = game if data_noise is None else cast(Game, Injected(game, data_noise))
    policy_key, data_key = _players_keys(key)
    theta = leader.update(game, follower, state.theta, state.reward_model, policy_key, policy_noise)
    return State(theta, follower.update(seen, theta, state.reward_model, data_key))


def run(
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
) -> tuple[State, Trace]:
    """Run iterative RLHF once: one jitted scan over iterations.

    Args:
        environment: a distribution over games, of which one instance is drawn; or one game.
        leader, follower: the two players. Their real-valued hyperparameters are traced: changing them
            compiles nothing.
        key: the only source of randomness; the same key means the same instance, start and noise.
        steps: iterations T, >= 1.
        record: what to record, a function of (game, follower, state, key); `full_record` or `outcome`.
        every: iterations from one entry of the trace to the next; it divides T.
        keep_states: also record θ and the reward model at every entry.
        initial: (θ₀, φ₀) in place of the game's own.
        noise: random numbers in place of the game's own, for a game that has some (`Game.noise`).

    Returns:
        The final state, and a trace of T / every + 1 entries of which the first is before any update.

    Raises:
        InputError: names a hyperparameter out of range, a misshapen or unnormalised policy, a follower
            that cannot keep its promise on this game.
    """
    environment, leader, follower = as_reals((environment, leader, follower))
    check_run(environment, leader, follower, key, steps, every, initial)
    if noise is not None:
        _check_noise(environment, key, noise, steps, leader.policy_steps)
    with _named_if_not_differentiable(follower):
        return _run(
            environment,
            leader,
            follower,
            key,
            initial,
            noise,
            steps=steps,
            record=record,
            every=every,
            keep_states=keep_states,
        )


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
) -> tuple[State, Trace]:
    """Run iterative RLHF for every key at once: `run`, vmapped; all results have a leading seed axis.

    Seeds are spread over all local devices. `initial`, if given, is shared by all seeds. See `run` for the
    arguments and the errors raised.
    """
    if jnp.ndim(keys) == 0 or len(keys) == 0:
        raise InputError("keys", f"array of shape {jnp.shape(keys)}", "one key for each of >= 1 seeds")
    environment, leader, follower = as_reals((environment, leader, follower))
    check_run(environment, leader, follower, keys[0], steps, every, initial)
    with _named_if_not_differentiable(follower):
        return _run_seeds(
            environment,
            leader,
            follower,
            keys,
            initial,
            steps=steps,
            record=record,
            every=every,
            keep_states=keep_states,
        )


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


def chunk_length(number: int) -> int:
    """Return how many iterations share one drawing of random numbers: the largest divisor up to 16."""
    return max(length for length in range(1, 17) if number % length == 0)


def first_divergence(trace: Trace) -> np.ndarray:
    """Return, for each seed, the first entry of its trace that was not finite, or -1 where all were."""
    finite = np.atleast_2d(np.asarray(trace.finite))
    return np.where(finite.all(axis=1), -1, np.argmin(finite, axis=1))


def run_traced(
    environment: Environment | Game,
    leader: Leader,
    follower: Follower,
    key: Key,
    initial: tuple[Theta, Phi] | None,
    noise: Noise | None = None,
    *,
    steps: int,
    record: Record,
    every: int,
    keep_states: bool = False,
) -> tuple[State, Trace]:
    """Run iterative RLHF once, as `run`, with nothing checked: a function to be traced."""
    game = instance(environment, key)
    state = initial_state(game, follower, key, initial)

    def entry(state: State, entry_key: Key, done: Array | int) -> Trace:
        metrics = record(game.at(done / steps), follower, state, named_key(entry_key, "record"))
        finite = is_finite(state, metrics)
        return Trace(metrics, state if keep_states else None, finite)

    def iteration(state: State, moment: Moment) -> tuple[State, Trace | None]:
        done, iteration_key, given = moment
        progress = done / steps
        state = step(game.at(progress), leader.at(progress), follower, state, iteration_key, given)
        return state, entry(state, iteration_key, done + 1) if every == 1 else None

    def chunk(state: State, moments: Moment) -> tuple[State, Trace | None]:
        done, keys, given = moments
        ahead = jax.vmap(partial(drawn, game, leader, follower))(keys) if given is None else given
        return _scan_rows(iteration, state, (done, keys, ahead))

    def iterate(state: State, moments: Moment) -> tuple[State, Trace | None]:
        chunks = _in_rows(chunk_length(len(moments[0])), moments)
        state, entries = jax.lax.scan(chunk, state, chunks)
        return state, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), entries)

    def until_entry(state: State, moments: Moment) -> tuple[State, Trace]:
        state, _ = iterate(state, moments)
        return state, entry(state, moments[1][-1], moments[0][-1] + 1)

    first = entry(state, named_key(key, "first entry"), 0)
    iteration_keys = jax.random.split(named_key(key, "iterations"), steps)
    moments = jnp.arange(steps), iteration_keys, noise
    if every == 1:
        state, rest = iterate(state, moments)
    else:
        state, rest = jax.lax.scan(until_entry, state, _in_rows(every, moments))
    return state, jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rest)


def _in_rows(length: int, tree: PyTree) -> PyTree:
    """Return every leaf [n, …] as [n / length, length, …]."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, length, *leaf.shape[1:]), tree)


_run = jax.jit(run_traced, static_argnames=("steps", "record", "every", "keep_states"))


@partial(jax.jit, static_argnames=("steps", "record", "every", "keep_states"))
def _run_seeds(
    environment: Environment | Game,
    leader: Leader,
    follower: Follower,
    keys: Key,
    initial: tuple[Theta, Phi] | None,
    **options: Any,
) -> tuple[State, Trace]:
    def one(shared: Any, key: Key) -> tuple[State, Trace]:
        environment, leader, follower, initial = shared
        return run_traced(environment, leader, follower, key, initial, **options)

    devices = jax.local_devices()
    seeds = len(keys)
    padded = jnp.concatenate([keys, jnp.broadcast_to(keys[:1], (-seeds % len(devices),))])
    results = spread(one, devices)((environment, leader, follower, initial), padded)
    return jax.tree.map(lambda leaf: leaf[:seeds], results)


def spread(f: Callable[[Any, Any], Any], devices: Sequence[jax.Device]) -> Callable[[Any, Any], Any]:
    """Return f(shared, ·) over a leading axis of lanes: vmapped, and divided evenly among the devices.

    Their number must divide that of the lanes.
    """
    batch = jax.vmap(f, in_axes=(None, 0))
    if len(devices) == 1:
        return batch
    mesh, along = Mesh(devices, LANES), PartitionSpec(LANES)
    # the check of what varies between devices does not see through every loop inside a run
    return jax.shard_map(
        batch, mesh=mesh, in_specs=(PartitionSpec(), along), out_specs=along, check_vma=False
    )


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
) -> None:
    """Check what can be checked before a run: ranges always, values where none of them is traced."""
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
    responses, offline, residual = _start(environment, follower, key, initial)
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
def _named_if_not_differentiable(follower: Follower) -> Iterator[None]:
    """Turn what JAX says of a function without a derivative into one line that names the follower."""
    try:
        yield
    except (TypeError, ValueError, NotImplementedError) as error:
        if isinstance(error, InputError) or not re.search("differentiat|JVP", str(error)):
            raise
        allowed = f"differentiable where the objective foresees it ({str(error).splitlines()[0]})"
        raise InputError("follower", type(follower).__name__, allowed) from error


def _check_noise(
    environment: Environment | Game, key: Key, noise: Noise, steps: int, policy_steps: int
) -> None:
    own = jax.eval_shape(lambda k: instance(environment, k).noise(k, 1), key)
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


@jax.jit
def _start(
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
