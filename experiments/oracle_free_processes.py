"""Claim: in how many of 1024 Markov decision processes a method without an oracle collapses."""

import dataclasses
from collections.abc import Mapping

from fpo_jax import plotting
from fpo_jax.experiments import oracle_free_seeds
from fpo_jax.experiments.comparison import figures
from fpo_jax.experiments.comparison.methods import Place
from fpo_jax.experiments.comparison.trial import Trials

METHODS = oracle_free_seeds.METHODS
PLACES = tuple(
    Place(name, {"environment": name, "label_budget": 16}, tuning=32, seeds=1024)
    for name in ("garnet", "gridworld")
)
"""Labels of an update: 16 draws of the policy."""


def draw_figures(trials: Trials) -> Mapping[str, plotting.Picture]:
    """Return methods by places: the share gained, and the share of seeds that collapse."""
    return {"oracle_free_processes": figures.by_place(PLACES[: len(trials)], METHODS, trials)}


EXPERIMENT = dataclasses.replace(
    oracle_free_seeds.EXPERIMENT,
    name="oracle-free-processes",
    claim=f"In Markov decision processes. {oracle_free_seeds.EXPERIMENT.claim}",
    places=PLACES,
    figures=draw_figures,
).with_small_form(
    claim="A few iterations of each method in one process, to see that all works.",
    places=PLACES[:1],
    methods=tuple(method._replace(values=(0.1, 1.0)) for method in METHODS),
    settings={"steps": 40},
)
"""Apart from `oracle_free_seeds`, since its trials take much longer."""
