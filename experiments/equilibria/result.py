"""The result of a search for equilibria."""

from typing import NamedTuple

import numpy as np

from fpo_jax.equilibria import Equilibrium
from fpo_jax.experiments.core.settings import Settings
from fpo_jax.statistics import share_gained
from fpo_jax.types import Theta

METRICS = ("true_utility", "proxy_reward", "blind_spot_mass")
"""The metrics of an outcome that tables and files show."""
MEASURES = (*METRICS, "residual", "spectral_radius", "stable", "steering_norm")
"""The numbers reported for each equilibrium."""


class Point(NamedTuple):
    """The equilibrium that the flow from one start leads to, or a failed search.

    Attributes:
        seed: number of the instance, from 0.
        start: number of the start, from 0.
        found: the equilibrium, or None if the search reached none.
        number: its number among the distinct equilibria of the instance, from 0; −1 if there is none.
        residual: √(gᵀF⁺g) at the equilibrium, or where the search ended.
        reason: why the search reached none, else "".
        step: the largest `policy_lr` at which the equilibrium attracts; NaN if it was not computed.
        to_optimal: distance from the performatively optimal equilibrium; NaN if there is none.
        to_best: distance from the best policy; NaN if there is none.
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
        """Return a number of the equilibrium, one of `MEASURES`; NaN if there is no equilibrium."""
        if self.found is None:
            return np.nan
        return float(self.found.metrics[name] if name in METRICS else getattr(self.found, name))


class Reached(NamedTuple):
    """The equilibria that the leader of one objective reaches.

    Attributes:
        settings: the settings with this objective.
        points: [seed][start].
    """

    settings: Settings
    points: list[list[Point]]

    def values(self, name: str) -> np.ndarray:
        """Return a number of each point, [seed, start]; NaN where the search reached no equilibrium."""
        own = name in ("step", "to_optimal", "to_best")
        return np.array([[getattr(p, name) if own else p.value(name) for p in row] for row in self.points])

    @property
    def multiplicity(self) -> np.ndarray:
        """Return the number of distinct equilibria found on each instance, [seed]."""
        return np.array([len({p.number for p in row if p.found is not None}) for row in self.points])

    @property
    def failures(self) -> list[Point]:
        """Return the points whose search reached no equilibrium."""
        return [p for row in self.points for p in row if p.found is None]


class Ideals(NamedTuple):
    """True utilities to compare every objective with, [seed] each; NaN where a policy was not found.

    Attributes:
        first: utility of the game's first policy.
        optimum: utility that no policy exceeds.
        best: utility of the policy that a leader with a perfect reward model reaches.
        optimal: utility of the performatively optimal equilibrium.
    """

    first: np.ndarray
    optimum: np.ndarray
    best: np.ndarray
    optimal: np.ndarray


class Equilibria(NamedTuple):
    """Equilibria of several objectives on the same instances.

    Attributes:
        reached: the equilibria by objective.
        starts: names of the starts.
        ideals: the utilities to compare with.
        thetas: the policies at the starts on the first instance, by objective; None where a start is missing.
        is_action: whether distances are |Δθ|, between actions. Otherwise they are total variations of
            policies.
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
        """Return the share of the possible gain, (U − U₀) / (U* − U₀), [seed, start].

        U₀ is the utility of the first policy and U* the optimum; NaN if no gain was possible, or there is no
        equilibrium.
        """
        values = self.reached[objective].values("true_utility")
        first = np.broadcast_to(self.ideals.first[:, None], values.shape)
        return np.stack(
            [
                share_gained(np.stack([begun, ended], axis=1), self.ideals.optimum)[:, 1]
                for begun, ended in zip(first.T, values.T, strict=True)
            ],
            axis=1,
        )
