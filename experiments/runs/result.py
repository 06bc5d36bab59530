"""The result of a run, for the seeds that stayed finite."""

import dataclasses
from functools import cached_property

import jax
import numpy as np

from fpo_jax.experiments.core.settings import Settings
from fpo_jax.experiments.runs.history import Snapshots, run_again, snapshots
from fpo_jax.statistics import collapsed, passing
from fpo_jax.types import Game, State


class Diverged(RuntimeError):
    """Every seed of a run became infinite or undefined, so there is nothing to report."""


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of a run, for the seeds that stayed finite.

    Attributes:
        settings: the settings that were run.
        seeds: [n] the seeds that stayed finite, in the order of every other array.
        metrics: [n, T + 1] each, by name.
        games: the instance of each seed, leading axis [n].
        optimum: [n] a true utility that no policy exceeds, for each seed.
        final: the final states, leading axis [n].
        diverged: for each seed that diverged, the first iteration that was not finite.
        cautions: warnings about the linear solves of the objective, if it has any.
        kept: states of the first finite seed at the shown iterations, or None if they were not kept.
        every_state: states at every entry, [n, T + 1, …], or None if they are not to be saved.
    """

    settings: Settings
    seeds: np.ndarray
    metrics: dict[str, np.ndarray]
    games: Game
    optimum: np.ndarray
    final: State
    diverged: dict[int, int]
    cautions: tuple[str, ...] = ()
    kept: State | None = None
    every_state: State | None = None

    @cached_property
    def states(self) -> State:
        """The states of the first finite seed at the iterations of `history.shown_iterations`."""
        return run_again(self.settings, int(self.seeds[0])) if self.kept is None else self.kept

    @cached_property
    def snapshots(self) -> Snapshots | None:
        """The policy of the first finite seed over iterations, or None if responses have no fixed places."""
        game: Game = jax.tree.map(lambda leaf: leaf[0], self.games)
        if game.places is None:
            return None
        return snapshots(self.settings, game, self.states.theta, self.metrics["true_utility"][0])

    @property
    def collapsed(self) -> np.ndarray:
        """Say for each seed whether its policy collapsed, by `fpo_jax.statistics.collapsed`."""
        return collapsed(self.metrics["true_utility"], self.optimum)

    def warnings(self) -> list[str]:
        """Return the warnings: diverged seeds, problems of linear solves, utility beyond the optimum."""
        passed = passing(self.metrics["true_utility"], self.optimum)
        return [
            *([f"seeds excluded because they {self.divergence()}"] if self.diverged else []),
            *self.cautions,
            *([] if passed is None else [passed]),
        ]

    def divergence(self) -> str:
        """Return "diverged to NaN or infinity", followed by the seeds that did and when."""
        shown = [f"seed {s} at iteration {t}" for s, t in list(self.diverged.items())[:8]]
        more = f" and {len(self.diverged) - 8} more" if len(self.diverged) > 8 else ""
        return f"diverged to NaN or infinity: {', '.join(shown)}{more}"
