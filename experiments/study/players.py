"""Instances with their players: functions that draw them, run them in lanes, and measure them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from fpo_jax.engine.initial import instance
from fpo_jax.equilibria import Equilibrium, equilibrium
from fpo_jax.expect import evaluate, expect
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.field import Players, answer, gradient_at
from fpo_jax.leader import Leader, advantages
from fpo_jax.run import initial_state, iterate
from fpo_jax.stationary import NoEquilibrium
from fpo_jax.types import Follower, Game, Key, Scalar, State, Theta

Tree = TypeVar("Tree")


class Met(NamedTuple):
    """One instance and its players. For several of them, every leaf has a leading axis of lanes.

    Attributes:
        game, leader, follower: the instance and the two players.
        key: the key of its run.
    """

    game: Game
    leader: Leader
    follower: Follower
    key: Key


def drawn_settings(
    label: str,
    seed: int,
    ranges: Mapping[str, tuple[float, float]],
    logarithmic: Mapping[str, tuple[float, float]],
) -> dict[str, float]:
    """Draw settings for a seed: uniformly from their ranges, or with a uniform logarithm.

    Args:
        label: of the place. Places with other labels draw other values.
        seed: at least 0.
        ranges: lowest and highest value of settings that are uniform, by name.
        logarithmic: lowest and highest value, > 0, of settings whose logarithm is uniform.
    """
    rng = np.random.default_rng([seed, *label.encode()])
    found = {name: float(rng.uniform(*ends)) for name, ends in ranges.items()}
    return found | {name: float(np.exp(rng.uniform(*np.log(ends)))) for name, ends in logarithmic.items()}


drawn = jax.jit(lambda environment, key: instance(environment, key))
"""Return the instance of a key, with one program for each kind of environment."""


def meet(wishes: Mapping[str, Any], seed: int) -> Met:
    """Return the instance and the players of a run with these settings and this seed."""
    environment, leader, follower = resolve(wishes).build()
    key = jax.random.key(seed)
    return Met(drawn(environment, key), leader, follower, key)


def in_lanes(met: Sequence[Tree]) -> Tree:
    """Stack trees of the same structure into one, in which every leaf has a leading axis of lanes."""
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *met)


class Runs(NamedTuple):
    """The policies of runs and how fast they still move, with a leading axis of lanes.

    Attributes:
        theta: the policies.
        utility: E[U].
        value: F = J(θ, φ*(θ)).
        residual: √E[A²], where A are the advantages that the leader follows at φ*(θ).
    """

    theta: PyTree
    utility: Array
    value: Array
    residual: Array


def iterated(met: Met, state: State, steps: int | Array) -> State:
    """Return the state of one instance after this many iterations."""
    game, leader, follower, key = met
    return jax.lax.fori_loop(0, steps, lambda _, s: iterate(game, leader, follower, s, key, 0.0), state)


@partial(jax.jit, static_argnames="steps")
def advanced(met: Met, states: State, steps: int) -> State:
    """Return the states of all lanes after this many iterations."""
    return jax.vmap(lambda one, state: iterated(one, state, steps))(met, states)


def resting(met: Met, theta: Theta) -> Equilibrium | None:
    """Return the equilibrium that the flow from a policy leads to on one instance, or None."""
    try:
        return equilibrium(met.game, met.leader, met.follower, theta, met.key)
    except NoEquilibrium:
        return None


@jax.jit
def beginning(met: Met, thetas: PyTree) -> State:
    """Return the initial states of runs that begin at these policies, by lane."""

    def one(met: Met, theta: Theta) -> State:
        game, _, follower, key = met
        return initial_state(game, follower, key, (theta, game.init(key)[1]))

    return jax.vmap(one)(met, thetas)


@jax.jit
def measured(met: Met, states: State) -> Runs:
    """Measure the policies of the states, by lane."""

    def one(met: Met, state: State) -> Runs:
        game, leader, follower, key = met
        players = Players(game, leader, follower, state.reward_model, key)
        model = answer(players, state.theta)
        responses = game.respond(state.theta, key)
        gradient = ravel_pytree(gradient_at(players, state.theta, model))[0]
        size = advantages(gradient, responses.w) if gradient.size == responses.w.size else gradient
        weights = responses.w if gradient.size == responses.w.size else jnp.ones_like(gradient)
        return Runs(
            state.theta,
            expect(game.utility, responses),
            evaluate(game, state.theta, model.phi, key),
            jnp.sqrt(jnp.sum(weights * size**2)),
        )

    return jax.vmap(one)(met, states)


@jax.jit
def firsts(met: Met) -> PyTree:
    """Return the first policy of each game, by lane."""
    return jax.vmap(lambda one: one.game.init(one.key)[0])(met)


@jax.jit
def first_utility(met: Met) -> tuple[Scalar, Scalar]:
    """Return E[U] of each game's first policy, and its optimum, by lane."""

    def one(met: Met) -> tuple[Scalar, Scalar]:
        responses = met.game.respond(met.game.init(met.key)[0], met.key)
        return expect(met.game.utility, responses), met.game.optimum()

    return jax.vmap(one)(met)


def stacked(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Turn rows of numbers, one for each instance, into arrays [instance, ...] by name."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
