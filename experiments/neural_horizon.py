"""Claim: in the neural environment foresight over ten follower updates suffices if the leader knows ∂U/∂y."""

from typing import Any

from fpo_jax.experiments.neural_ladder import COMMON, draw_figures
from fpo_jax.experiments.runs.experiment import Experiment

KNOWN = {"utility": "differentiated"}
IMPLICIT = {"objective": "implicit", "solver": "cg", "tolerance": 1e-2, "terms": 100}
METHODS: dict[str, dict[str, Any]] = {
    "RLHF": {**COMMON, "objective": "myopic"},
    "exact, k = 3": {**COMMON, "objective": "exact", "horizon": 3},
    "exact, k = 10": {**COMMON, "objective": "exact", "horizon": 10},
    "exact, k = 3, ∂U/∂y known": {**COMMON, "objective": "exact", "horizon": 3, **KNOWN},
    "exact, k = 10, ∂U/∂y known": {**COMMON, "objective": "exact", "horizon": 10, **KNOWN},
    "implicit, damping 1000": {**COMMON, **IMPLICIT, "damping": 1000.0},
    "implicit, damping 300": {**COMMON, **IMPLICIT, "damping": 300.0},
}
"""With a damping of 100 or less the damped Hessian is not positive definite along most runs, and then the
implicit gradient is not defined.
"""

EXPERIMENT = Experiment(
    name="neural-horizon",
    claim=(
        "In the neural environment foresight over ten updates of the real follower prevents collapse in "
        "every seed, and over three updates in nearly every seed, if the leader knows ∂U/∂y. If U is only a "
        "label it does not help: over ten updates it collapses more often than RLHF. The implicit gradient "
        "replaces the follower's path by one damped Newton step. It helps more with less damping, as far as "
        "the loss allows."
    ),
    methods=METHODS,
    figures=draw_figures,
    seeds=16,
    long=True,
    every=20,
)
