"""Runs that begin near an equilibrium, at several step sizes, compared with what eigenvalues predict."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from fpo_jax.equilibria import Equilibrium, equilibrium, largest_stable_step
from fpo_jax.experiments.core.progress import Tell
from fpo_jax.experiments.study.experiment import Numbers
from fpo_jax.experiments.study.players import Met, iterated
from fpo_jax.run import initial_state, iterate
from fpo_jax.types import RewardModel, State, Theta

FACTORS = (0.25, 0.5, 0.9, 0.98, 0.998, 1.002, 1.02, 1.1, 1.5)
"""Step sizes, in units of the largest stable one."""
ASIDE = 1e-7
"""Most distance of a run's start from the equilibrium, in each coordinate of θ and φ."""
ENTRIES = 200
"""Entries of a run, at equal distances in time."""
FOLDS = np.log(1e5)
"""Length of a run: its eigenvalue predicts that the distance changes by a factor e^FOLDS.

A run has at most `MOST` iterations.
"""
MOST = 40_000
LATER = 10
"""After the fit a run continues for this many times its length, to show where it ends."""
SMALL = 1e-12, 1e-4
"""A rate is fitted to distances between these two."""
FAR, SETTLED = 1e3, 1e-9
"""A run farther away than the first diverges. A run that moves less than the second is at rest."""
CONVERGES, OSCILLATES, DIVERGES, ELSEWHERE = range(4)
ENDS = ("converges", "oscillates", "diverges", "rests elsewhere")


class Problem(NamedTuple):
    """A game with its players, and a start for the search for their equilibrium.

    Attributes:
        label: name of the part.
        meet: returns the game, the players and the key.
        start: returns θ at which the search begins; None for the game's first policy.
    """

    label: str
    meet: Callable[[], Met]
    start: Callable[[Met], Theta] | None = None


def swept(problem: Problem, tell: Tell) -> Numbers:
    """Run a problem with each step of `FACTORS`, and return predictions and observations, [factor] each.

    - step: policy_lr
    - predicted: the spectral radius
    - real, imaginary: the leading eigenvalue
    - observed: factor by which the distance to the equilibrium changes in an iteration, fitted while it is
      small
    - end: index in `ENDS`
    - period: 2 if the run ends on a cycle of two, else 0
    - factor: the step in units of the largest stable one
    - largest: the largest stable step
    """
    met = problem.meet()
    start = met.game.init(met.key)[0] if problem.start is None else problem.start(met)
    at = equilibrium(met.game, met.leader, met.follower, start, met.key)
    largest = largest_stable_step(met.game, met.leader, met.follower, at, met.key)
    rows = []
    for number, factor in enumerate(FACTORS):
        tell("steps", number / len(FACTORS))
        step = factor * largest
        paced = met._replace(leader=met.leader.replace(policy_lr=step))  # type: ignore[attr-defined]
        there = equilibrium(paced.game, paced.leader, paced.follower, at.theta, paced.key)
        rows.append((step, *_row(paced, there)))
    names = "step", "predicted", "real", "imaginary", "observed", "end", "period"
    columns = {name: np.array(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
    return columns | {"factor": np.array(FACTORS), "largest": np.full(len(FACTORS), largest)}


def _row(met: Met, at: Equilibrium) -> tuple[float, ...]:
    lead, radius = at.eigenvalues[0], at.spectral_radius
    length = min(FOLDS / max(abs(np.log(max(radius, 1e-3))), 1e-9), MOST)
    every = max(int(np.ceil(length / ENTRIES)), 1)
    theta, phi = jax.tree.map(lambda leaf: leaf + _nudge(leaf), (at.theta, at.reward_model.phi))
    state = initial_state(met.game, met.follower, met.key, (theta, phi))
    state = state._replace(reward_model=RewardModel(phi, state.reward_model.memory))
    state, near = followed(met, state, at.theta, every)
    observed = _rate(np.asarray(near), every)
    final, after = followed(met, state, at.theta, LATER * every)
    return radius, float(np.real(lead)), float(np.imag(lead)), observed, *_end(met, final, at, after)


def _nudge(leaf: Array) -> Array:
    return ASIDE * jnp.cos(1.0 + 2.0 * jnp.arange(float(leaf.size))).reshape(leaf.shape)


def _where(met: Met, theta: Theta) -> Array:
    """Return the coordinates of a policy: its probabilities, or its action."""
    return ravel_pytree(theta)[0] if met.game.places is None else met.game.respond(theta, met.key).w


@jax.jit
def followed(met: Met, state: State, theta: Theta, every: int) -> tuple[State, Array]:
    """Run for `ENTRIES` × `every` iterations, and return the state and its distances to θ, [entry]."""
    home = _where(met, theta)

    def entry(state: State, _: None) -> tuple[State, Array]:
        after = iterated(met, state, every)
        return after, jnp.linalg.norm(_where(met, after.theta) - home)

    return jax.lax.scan(entry, state, None, length=ENTRIES)


def _rate(distances: np.ndarray, every: int) -> float:
    """Return the factor by which distances change in an iteration, while they are small and above rounding.

    It is 0 if the distance is at rounding after a few entries, and NaN if there are too few for a fit.
    """
    kept = np.isfinite(distances) & (distances < SMALL[1]) & (distances > SMALL[0])
    first = int(np.argmin(kept)) if not kept.all() else len(kept)
    if first == 0:
        return 0.0
    late = np.arange(first // 2, first)
    if len(late) < 4:  # too few for a fit
        return 0.0 if first < len(kept) and distances[first] <= SMALL[0] else float("nan")
    return float(np.exp(np.polyfit(every * late, np.log(distances[late]), 1)[0]))


def _end(met: Met, final: State, at: Equilibrium, distances: Array) -> tuple[int, int]:
    """Return how a run ends, as an index in `ENDS`, and its period."""
    path = [final]
    for _ in range(2):
        path.append(_once(met, path[-1]))
    here, next_, second = (np.asarray(_where(met, state.theta)) for state in path)
    if not np.all(np.isfinite(second)) or not np.max(np.abs(second)) < FAR:
        return DIVERGES, 0
    home = np.asarray(_where(met, at.theta))
    away = float(np.linalg.norm(here - home))
    if np.max(np.abs(next_ - here)) < SETTLED:
        return (CONVERGES if away < ASIDE else ELSEWHERE), 0
    if away < 0.5 * ASIDE:
        return CONVERGES, 0
    cycle = np.max(np.abs(second - here)) < 1e-3 * np.max(np.abs(next_ - here))
    return OSCILLATES, 2 if cycle else 0


@jax.jit
def _once(met: Met, state: State) -> State:
    return iterate(met.game, met.leader, met.follower, state, met.key, 0.0)
