"""The loop of iterative RLHF, for one run: record, policy steps, retrain the reward model, repeat (paper).

Randomness: one key a run. Every draw in iteration t has its own key, made from its purpose and t, so every
objective faces the same instance, the same start and the same noise. Comparisons are therefore paired.
"""

import jax
from jaxtyping import Array

from fpo_jax.leader import Leader
from fpo_jax.numerics.keys import named_key
from fpo_jax.numerics.scan import scan, trajectory
from fpo_jax.record import Record, defined, is_finite
from fpo_jax.types import Follower, Game, Key, Phi, State, Theta, Trace


def initial_state(
    game: Game,
    follower: Follower,
    key: Key,
    initial: tuple[Theta, Phi] | None = None,
    leader: Leader | None = None,
) -> State:
    """Return the state before any update, from the game's own (θ₀, φ₀) or from given ones.

    It includes the leader's kept data, if a leader is given.
    """
    theta, phi = game.init(named_key(key, "initial parameters")) if initial is None else initial
    data_key = named_key(key, "initial data")
    state = State(theta, follower.init(game, theta, phi, data_key))
    if leader is None:
        return state
    return state._replace(earlier=leader.begin(game, follower, state, data_key))


def policy_step(game: Game, leader: Leader, follower: Follower, state: State, key: Key) -> State:
    """Return the state after one step of the policy, at the present reward model."""
    return state._replace(theta=leader.step(game, follower, state.theta, state.reward_model, key))


def retrain(game: Game, follower: Follower, state: State, key: Key) -> State:
    """Return the state after the reward model is retrained on responses of the present policy."""
    return state._replace(reward_model=follower.update(game, state.theta, state.reward_model, key))


def iterate(
    game: Game, leader: Leader, follower: Follower, state: State, key: Key, progress: Array | float
) -> State:
    """Return the state after one iteration: `leader.policy_steps` steps of the policy, then `retrain`.

    `progress`, in [0, 1], is the share of iterations done so far; game and leader may anneal with it.
    """
    now, once = game.at(progress), named_key(key, "what an iteration fixes")
    start = leader.restarted(state)
    leader_now = leader.at(progress).for_iteration(now, follower, start, once)

    def step(state: State, step_key: Key) -> tuple[State, None]:
        return policy_step(now, leader_now, follower, state, step_key), None

    step_keys = jax.random.split(named_key(key, "policy step"), leader.policy_steps)
    ended, _ = scan(step, start, step_keys)
    update_key = named_key(key, "reward-model update")
    earlier = leader.remember(now, follower, state, ended, update_key)
    return retrain(now, follower, ended, update_key)._replace(earlier=earlier)


def play(
    game: Game,
    leader: Leader,
    follower: Follower,
    state: State,
    key: Key,
    *,
    steps: int,
    record: Record,
    every: int = 1,
    keep_states: bool = False,
    first: Array | int = 0,
    entries: int | None = None,
) -> tuple[State, Trace]:
    """Return the final state and the trace of a run, or of a part of it: a function to be traced.

    Args:
        game, leader, follower, key: one instance, the two players, the key of the run.
        state: before iteration `first`.
        steps: iterations T of the whole run.
        record: what an entry of the trace holds, a function of (game, follower, state, key).
        every: iterations from one entry to the next; it divides T.
        keep_states: also record θ and the reward model at every entry.
        first, entries: where this part begins, with an entry of `state`, and how many follow; by default all.
    """

    def entry(state: State, done: Array) -> Trace:
        entry_key = jax.random.fold_in(named_key(key, "record"), done)
        metrics = record(game.at(done / steps), follower, state, entry_key)
        finite = is_finite(state) & is_finite(defined(metrics))
        return Trace(metrics, state if keep_states else None, finite)

    def iteration(state: State, done: Array) -> State:
        iteration_key = jax.random.fold_in(named_key(key, "iterations"), done)
        return iterate(game, leader, follower, state, iteration_key, done / steps)

    return trajectory(iteration, entry, state, first, steps // every if entries is None else entries, every)
