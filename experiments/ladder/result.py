"""What a comparison of routes gave."""

from typing import NamedTuple

import numpy as np

from fpo_jax.experiments.core.settings import Settings
from fpo_jax.experiments.runs.execution import STATIONARY
from fpo_jax.types import Cost


class Route(NamedTuple):
    """What one route gave along the runs.

    Attributes:
        measures: by name, [seed, entry]; NaN where undefined, that is where there is nothing to steer.
        cost: of its linear solves, [seed, entry] each.
        failed: whether the route gave no number, [seed, entry].
        seconds: median time of one estimate at one state.
        weight: penalty weight in use, or None.
        best_weight: the weight that fits the exact correction best, by least squares along the runs, or None.
        drawn: `bias` and `spread` over repeated draws at that weight, or the one in use, [seed, entry] each;
            empty where nothing was repeated.
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
        """Return the median relative error; NaN where there is none that is defined."""
        values = self.measures["relative_error"]
        defined = values[np.isfinite(values)]
        return float(np.median(defined)) if defined.size else float("nan")

    def warning(self) -> str | None:
        """Say where the implicit function theorem or its solve fails along the runs, or None."""
        slope, failed = float(np.max(self.cost.slope)), int(self.failed.sum())
        warnings = [f"φ⁺ is no stationary point, ‖∂L/∂φ‖ up to {slope:.1e}"] * (slope > STATIONARY)
        warnings += [f"the solve failed at {failed} of {self.failed.size} states"] * (failed > 0)
        return "; ".join(warnings) or None


class Effective(NamedTuple):
    """Effective rewards at the first seed's last compared state, response by response.

    Attributes:
        exact: [n] r̃(y) = ∂F/∂w, the effective reward of exact foresight.
        rungs: [n] each, r − weight · penalty by label, with the weight that fits the exact correction best.
        blind_spot: [n] how far a response lies in the blind spot.
    """

    exact: np.ndarray
    rungs: dict[str, np.ndarray]
    blind_spot: np.ndarray


class Decomposed(NamedTuple):
    """A comparison of all routes along the runs of one policy.

    Attributes:
        settings: the runs along which it was made.
        iterations: [entry] compared iterations.
        routes: by label.
        norms: `standard` and `steering` part of dF/dθ, [seed, entry] each.
        scale: 2·lr·α·k, the weight of the follower's own step, or None.
        skipped: why a route does not apply, by label.
    """

    settings: Settings
    iterations: np.ndarray
    routes: dict[str, Route]
    norms: dict[str, np.ndarray]
    scale: float | None
    skipped: dict[str, str]
    effective: Effective | None
