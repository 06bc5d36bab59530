"""How one policy moved: the first finite seed's states at some iterations, and what it responded there.

Figures that move and the slider of a report show this. States are kept while all seeds run, where they fit,
since running a seed once more would compile another program.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from fpo_jax.engine.initial import seed_keys
from fpo_jax.engine.runs import run_seed
from fpo_jax.experiments.core.settings import Settings, in_precision
from fpo_jax.experiments.runs import states
from fpo_jax.numerics.rows import one_row
from fpo_jax.record import outcome
from fpo_jax.types import Game, State, Theta

FRAMES = 60
"""Most iterations that are shown."""
MOST_KEPT = 2**28
"""Bytes of states that a run of all seeds may keep."""
MOST_NUMBERS = 60_000
"""Most weights that are shown of one policy, over all frames."""


class Snapshots(NamedTuple):
    """One policy at some iterations, as weights of the places on which its responses lie.

    Attributes:
        axes: name and size of each axis of places, as `Game.places` gives them.
        iterations: [frame].
        weights: [frame, *places] share of the policy, summing to 1 over places.
        true_utility: [frame] E[U].
        utility: [*places] mean U of the responses that share a place.
        blind_spot: [*places] mean blind-spot membership, in [0, 1].
    """

    axes: dict[str, int]
    iterations: np.ndarray
    weights: np.ndarray
    true_utility: np.ndarray
    utility: np.ndarray
    blind_spot: np.ndarray


def shown_iterations(steps: int, frames: int = FRAMES) -> np.ndarray:
    """Return [frame] the iterations to show of 0 … steps: geometrically spaced, since most happens early."""
    return np.unique(np.round(np.geomspace(1, steps + 1, frames)).astype(int) - 1)


def worth_keeping(settings: Settings) -> bool:
    """Say whether responses have places to be shown on, and the states of all seeds fit."""
    state, has_places = states.initial_shape(settings)
    return has_places and states.size_of(state, settings) <= MOST_KEPT


def at_shown(states: State, index: int, steps: int) -> State:
    """Return one seed's states at the iterations shown, from those of all seeds, [seed, T + 1]."""
    shown = shown_iterations(steps)
    return jax.tree.map(lambda leaf: np.asarray(leaf[index, shown]), states)


def run_again(settings: Settings, seed: int) -> State:
    """Run one seed once more, and return its states at the iterations shown."""
    environment, leader, follower = settings.build()
    with in_precision(settings.precision):
        key = seed_keys(1, seed)[0]
        _, trace = run_seed(
            environment, leader, follower, key, steps=settings.steps, record=outcome, keep_states=True
        )
        assert trace.state is not None  # as asked for
        return at_shown(one_row(trace.state), 0, settings.steps)


def snapshots(settings: Settings, game: Game, thetas: Theta, true_utility: np.ndarray) -> Snapshots:
    """Return how a policy moved over the places of its responses.

    Args:
        settings: of the run.
        game: its instance, whose responses have fixed places.
        thetas: the policy at the iterations of `shown_iterations`.
        true_utility: [T + 1] E[U] at every iteration.
    """
    assert game.places is not None
    shape = tuple(game.places.values())
    iterations = shown_iterations(settings.steps)
    frames = max(2, min(len(iterations), MOST_NUMBERS // int(np.prod(shape))))
    chosen = np.unique(np.round(np.linspace(0, len(iterations) - 1, frames)).astype(int))
    iterations = iterations[chosen]
    thetas = jax.tree.map(lambda leaf: leaf[chosen], thetas)
    with in_precision(settings.precision):
        given = _weights(game, thetas, iterations / settings.steps)
        weights, utility, blind_spot = (
            np.asarray(x).reshape(*x.shape[: x.ndim - 1], *shape, -1) for x in given
        )
    return Snapshots(
        dict(game.places),
        iterations,
        weights.sum(axis=-1),
        true_utility[iterations],
        utility.mean(axis=-1),
        blind_spot.mean(axis=-1),
    )


@jax.jit
def _weights(game: Game, thetas: Any, progress: Array) -> tuple[Array, Array, Array]:
    """Return the weights of the responses at each moment, [frame, n], and U and blind spot, [n] each."""
    key = jax.random.key(0)  # places are fixed only where nothing is drawn

    def at(moment: tuple[Any, Array]) -> Array:
        theta, p = moment
        return game.at(p).deployed(theta, key).w

    first = game.deployed(jax.tree.map(lambda leaf: leaf[0], thetas), key).y
    utility, blind_spot = (jax.vmap(f)(first) for f in (game.utility, game.blind_spot))
    return jax.lax.map(at, (thetas, progress)), utility, blind_spot
