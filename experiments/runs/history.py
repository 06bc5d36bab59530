"""The history of one policy: states of the first finite seed at some iterations, and its responses there.

Animated figures and the slider of a report show it. The states are kept while all seeds run, if they fit in
memory, because running a seed once more would compile another program.
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
"""Most iterations that an animation shows."""
MOST_KEPT = 2**28
"""Most bytes of states that a run of all seeds may keep."""
MOST_NUMBERS = 60_000
"""Most weights of one policy in an animation, over all frames."""


class Snapshots(NamedTuple):
    """One policy at some iterations, as weights of places. Each response has a fixed place.

    Attributes:
        axes: name and size of each axis of places, as in `Game.places`.
        iterations: [frame].
        weights: [frame, *places] share of the policy at each place, summing to 1 over places.
        true_utility: [frame] E[U].
        utility: [*places] mean U of the responses at a place.
        blind_spot: [*places] their mean blind-spot membership, in [0, 1].
    """

    axes: dict[str, int]
    iterations: np.ndarray
    weights: np.ndarray
    true_utility: np.ndarray
    utility: np.ndarray
    blind_spot: np.ndarray


def shown_iterations(steps: int, frames: int = FRAMES) -> np.ndarray:
    """Return the iterations to show of 0 … steps, [frame], at equal ratios because most change is early."""
    return np.unique(np.round(np.geomspace(1, steps + 1, frames)).astype(int) - 1)


def worth_keeping(settings: Settings) -> bool:
    """Whether responses have places to show them on, and the states of all seeds fit in `MOST_KEPT`."""
    state, has_places = states.initial_shape(settings)
    return has_places and states.size_of(state, settings) <= MOST_KEPT


def at_shown(states: State, index: int, steps: int) -> State:
    """Return the states of one seed at the shown iterations, from the states of all seeds, [seed, T + 1]."""
    shown = shown_iterations(steps)
    return jax.tree.map(lambda leaf: np.asarray(leaf[index, shown]), states)


def run_again(settings: Settings, seed: int) -> State:
    """Run one seed once more, and return its states at the shown iterations."""
    environment, leader, follower = settings.build()
    with in_precision(settings.precision):
        key = seed_keys(1, seed)[0]
        _, trace = run_seed(
            environment, leader, follower, key, steps=settings.steps, record=outcome, keep_states=True
        )
        assert trace.state is not None  # because of keep_states
        return at_shown(one_row(trace.state), 0, settings.steps)


def snapshots(settings: Settings, game: Game, thetas: Theta, true_utility: np.ndarray) -> Snapshots:
    """Return the weights of a policy over the places of its responses, at some iterations.

    Args:
        settings: of the run.
        game: the instance. Its responses must have fixed places.
        thetas: the policy at the iterations of `shown_iterations`, [frame, ...].
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
    """Return the weights of the responses in each frame, [frame, n], and U and blind spot, [n] each."""
    key = jax.random.key(0)  # any key will do: a game with fixed places draws nothing

    def at(moment: tuple[Any, Array]) -> Array:
        theta, p = moment
        return game.at(p).deployed(theta, key).w

    first = game.deployed(jax.tree.map(lambda leaf: leaf[0], thetas), key).y
    utility, blind_spot = (jax.vmap(f)(first) for f in (game.utility, game.blind_spot))
    return jax.lax.map(at, (thetas, progress)), utility, blind_spot
