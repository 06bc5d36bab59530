"""Instances with their players, as a study meets them: drawn, run in lanes, and measured."""

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
    """One instance and its players; of several, every leaf has a leading axis of lanes.

    Attributes:
        game, leader, follower: the instance and the two players.
        key: of its run.
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
    """Return settings that are drawn for a seed, uniformly in their range, or in its logarithm."""
    rng = np.random.default_rng([seed, *label.encode()])
    found = {name: float(rng.uniform(*ends)) for name, ends in ranges.items()}
    return found | {name: float(np.exp(rng.uniform(*np.log(ends)))) for name, ends in logarithmic.items()}


drawn = jax.jit(lambda environment, key: instance(environment, key))
"""Return the instance of a key, by one program for each kind of environment."""


def meet(wishes: Mapping[str, Any], seed: int) -> Met:
    """Return the instance that a run of these settings with this seed meets."""
    environment, leader, follower = resolve(wishes).build()
    key = jax.random.key(seed)
    return Met(drawn(environment, key), leader, follower, key)


def in_lanes(met: Sequence[Tree]) -> Tree:
    """Return several trees of one structure as one; every leaf has a leading axis of lanes."""
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *met)


class Runs(NamedTuple):
    """Where runs are, and how fast they still move.

    Attributes:
        theta: of each lane.
        utility: E[U].
        value: F = J(θ, φ*(θ)).
        residual: √E[A²] of what the leader follows, φ having answered.
    """

    theta: PyTree
    utility: Array
    value: Array
    residual: Array


def iterated(met: Met, state: State, steps: int | Array) -> State:
    """Return the state of one instance after so many iterations."""
    game, leader, follower, key = met
    return jax.lax.fori_loop(0, steps, lambda _, s: iterate(game, leader, follower, s, key, 0.0), state)


@partial(jax.jit, static_argnames="steps")
def advanced(met: Met, states: State, steps: int) -> State:
    """Return the states after so many iterations."""
    return jax.vmap(lambda one, state: iterated(one, state, steps))(met, states)


def resting(met: Met, theta: Theta) -> Equilibrium | None:
    """Return the equilibrium to which the flow from a policy leads on one instance, or None."""
    try:
        return equilibrium(met.game, met.leader, met.follower, theta, met.key)
    except NoEquilibrium:
        return None


@jax.jit
def beginning(met: Met, thetas: PyTree) -> State:
    """Return the states in which runs begin at these policies."""

    def one(met: Met, theta: Theta) -> State:
        game, _, follower, key = met
        return initial_state(game, follower, key, (theta, game.init(key)[1]))

    return jax.vmap(one)(met, thetas)


@jax.jit
def measured(met: Met, states: State) -> Runs:
    """Return what holds at the policies of the states."""

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
    """Return the first policies."""
    return jax.vmap(lambda one: one.game.init(one.key)[0])(met)


@jax.jit
def first_utility(met: Met) -> tuple[Scalar, Scalar]:
    """Return E[U] of each game's first policy, and the utility that no policy exceeds."""

    def one(met: Met) -> tuple[Scalar, Scalar]:
        responses = met.game.respond(met.game.init(met.key)[0], met.key)
        return expect(met.game.utility, responses), met.game.optimum()

    return jax.vmap(one)(met)


def stacked(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return numbers of instances by name, [instance, ...]."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
