"""The result of a comparison of routes."""

from typing import NamedTuple

import numpy as np

from fpo_jax.experiments.core.settings import Settings
from fpo_jax.experiments.runs.execution import STATIONARY
from fpo_jax.types import Cost


class Route(NamedTuple):
    """How one route compares with the exact correction along the runs.

    Attributes:
        measures: [seed, entry] each, by name; NaN where the exact correction is 0.
        cost: of the linear solves, [seed, entry] each.
        failed: [seed, entry] whether the estimate is NaN.
        seconds: median time of one estimate at one state.
        weight: penalty weight in use, or None.
        best_weight: the weight that fits the exact correction best, by least squares along the runs; None if
            the route has no weight, or none helps.
        drawn: `bias` and `spread` over repeated draws, [seed, entry] each, at the best weight if there is
            one; empty without repeated draws.
    """

    measures: dict[str, np.ndarray]
    cost: Cost
    failed: np.ndarray
    seconds: float
    weight: float | None
    best_weight: float | None
    drawn: dict[str, np.ndarray]

    @property
    def error(self) -> float:
        """Return the median relative error over all states; NaN if it is defined at none."""
        values = self.measures["relative_error"]
        defined = values[np.isfinite(values)]
        return float(np.median(defined)) if defined.size else float("nan")

    def warning(self) -> str | None:
        """Return a line that says how the implicit function theorem or its solve fails, or None."""
        slope, failed = float(np.max(self.cost.slope)), int(self.failed.sum())
        warnings = [f"φ⁺ is no stationary point, ‖∂L/∂φ‖ up to {slope:.1e}"] * (slope > STATIONARY)
        warnings += [f"the solve failed at {failed} of {self.failed.size} states"] * (failed > 0)
        return "; ".join(warnings) or None


class Effective(NamedTuple):
    """Effective rewards of all responses at the first seed's last compared state.

    Attributes:
        exact: [n] r̃(y) = ∂F/∂w, the effective reward of exact foresight.
        rungs: [n] each, by label: r − weight · penalty at the best weight.
        blind_spot: [n] blind-spot membership of each response, in [0, 1].
    """

    exact: np.ndarray
    rungs: dict[str, np.ndarray]
    blind_spot: np.ndarray


class Decomposed(NamedTuple):
    """A comparison of all routes along the same runs.

    Attributes:
        settings: settings of the runs.
        iterations: [entry] the compared iterations.
        routes: the compared routes by label.
        norms: norms of the `standard` and the `steering` part of dF/dθ, [seed, entry] each.
        scale: 2·lr·α·k, the weight that matches the follower's own steps, or None.
        skipped: for each route that was not compared, the reason, by label.
        effective: effective rewards, or None if the policy has only one response.
    """

    settings: Settings
    iterations: np.ndarray
    routes: dict[str, Route]
    norms: dict[str, np.ndarray]
    scale: float | None
    skipped: dict[str, str]
    effective: Effective | None
