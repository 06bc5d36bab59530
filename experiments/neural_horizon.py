"""Claim: in the neural environment foresight further ahead through the real follower is not enough."""

from typing import Any

from experiments.comparison import Experiment
from experiments.neural_ladder import COMMON, draw_figures

IMPLICIT: dict[str, Any] = {
    **COMMON,
    "objective": "implicit",
    "solver": "cg",
    "tolerance": 1e-2,
    "terms": 100,
}
METHODS: dict[str, dict[str, Any]] = {
    "RLHF": {**COMMON, "objective": "myopic"},
    "exact, k = 3, ∂U/∂y known": {**COMMON, "objective": "exact", "horizon": 3, "utility": "differentiated"},
    "exact, k = 10, ∂U/∂y known": {
        **COMMON,
        "objective": "exact",
        "horizon": 10,
        "utility": "differentiated",
    },
    "implicit, damping 1000": {**IMPLICIT, "damping": 1000.0},
    "implicit, damping 300": {**IMPLICIT, "damping": 300.0},
}

EXPERIMENT = Experiment(
    name="neural-horizon",
    claim="TODO",
    methods=METHODS,
    figures=draw_figures,
    seeds=16,
    long=True,
    every=20,
)
