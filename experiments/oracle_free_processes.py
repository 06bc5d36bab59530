"""Claim: the same as `oracle_free_seeds`, in Markov decision processes."""

import dataclasses

from fpo_jax.experiments import oracle_free_seeds
from fpo_jax.experiments.comparison.methods import Place

PLACES = tuple(
    Place(name, {"environment": name, "label_budget": 16}, tuning=32, seeds=1024)
    for name in ("garnet", "gridworld")
)
"""Labels of an update: 16 draws of the policy."""
EXPERIMENT = dataclasses.replace(
    oracle_free_seeds.EXPERIMENT, name="oracle-free-processes", places=PLACES
).with_small_form(
    claim="A few iterations of each method in one process, to see that all works.",
    places=PLACES[:1],
    methods=tuple(method._replace(values=(0.1, 1.0)) for method in oracle_free_seeds.METHODS),
    settings={"steps": 40},
)
"""Apart from the others, since it takes so much longer."""
