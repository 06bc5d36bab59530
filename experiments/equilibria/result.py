"""What a search for equilibria gave."""

from typing import NamedTuple

import numpy as np

from fpo_jax.equilibria import Equilibrium
from fpo_jax.experiments.core.settings import Settings
from fpo_jax.statistics import share_gained
from fpo_jax.types import Theta

METRICS = ("true_utility", "proxy_reward", "blind_spot_mass")
"""Metrics of an outcome that are shown."""
MEASURES = (*METRICS, "residual", "spectral_radius", "stable", "steering_norm")
"""Numbers that are told of each equilibrium."""


class Point(NamedTuple):
    """Where the flow from one start leads, or how near it came.

    Attributes:
        seed, start: whose instance, and which start, by number.
        found: the equilibrium, or None where none was reached.
        number: which of its instance's equilibria it is, from 0; −1 for none.
        residual: √(gᵀF⁺g) there, or where the search ended.
        reason: why none was reached.
        step: the largest step of the policy at which it attracts; NaN where that was not asked for.
        to_optimal, to_best: its distance from the performatively optimal equilibrium and the best policy.
    """

    seed: int
    start: int
    found: Equilibrium | None
    number: int = -1
    residual: float = np.nan
    reason: str = ""
    step: float = np.nan
    to_optimal: float = np.nan
    to_best: float = np.nan

    def value(self, name: str) -> float:
        """Return a metric, or a number of the equilibrium such as `spectral_radius`; NaN without one."""
        if self.found is None:
            return np.nan
        return float(self.found.metrics[name] if name in METRICS else getattr(self.found, name))


class Reached(NamedTuple):
    """What one objective's leader comes to.

    Attributes:
        settings: of the objective.
        points: [seed][start].
    """

    settings: Settings
    points: list[list[Point]]

    def values(self, name: str) -> np.ndarray:
        """Return a number of each point, [seed, start]; NaN where no equilibrium was reached."""
        own = name in ("step", "to_optimal", "to_best")
        return np.array([[getattr(p, name) if own else p.value(name) for p in row] for row in self.points])

    @property
    def multiplicity(self) -> np.ndarray:
        """Return how many equilibria were found in each instance, [seed]."""
        return np.array([len({p.number for p in row if p.found is not None}) for row in self.points])

    @property
    def failures(self) -> list[Point]:
        """Return the points at which no equilibrium was reached."""
        return [p for row in self.points for p in row if p.found is None]


class Ideals(NamedTuple):
    """What every objective is compared with, [seed] each.

    Attributes:
        first: true utility of the game's first policy.
        optimum: that no policy exceeds.
        best: of the policy that a leader with a perfect reward model would come to.
        optimal: of the performatively optimal equilibrium.
    """

    first: np.ndarray
    optimum: np.ndarray
    best: np.ndarray
    optimal: np.ndarray


class Equilibria(NamedTuple):
    """Equilibria of several objectives on the same instances.

    Attributes:
        reached: by objective.
        starts: names of the starts.
        ideals: of the instances.
        thetas: the starts on the first instance, by objective.
        is_action: whether distances are those of actions, |Δθ|, and else in total variation of policies.
    """

    reached: dict[str, Reached]
    starts: tuple[str, ...]
    ideals: Ideals
    thetas: dict[str, list[Theta | None]]
    is_action: bool

    @property
    def settings(self) -> Settings:
        """Return the settings of the first objective."""
        return next(iter(self.reached.values())).settings

    def gained(self, objective: str) -> np.ndarray:
        """Return the share of what was to be gained over the first policy, [seed, start]."""
        values = self.reached[objective].values("true_utility")
        first = np.broadcast_to(self.ideals.first[:, None], values.shape)
        return np.stack(
            [
                share_gained(np.stack([begun, ended], axis=1), self.ideals.optimum)[:, 1]
                for begun, ended in zip(first.T, values.T, strict=True)
            ],
            axis=1,
        )
