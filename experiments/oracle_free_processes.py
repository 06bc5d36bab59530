"""Claim: in how many of 1024 Markov decision processes a method without an oracle collapses."""

from fpo_jax.experiments.comparison.methods import Place
from fpo_jax.experiments.oracle_free_seeds import at_places

PLACES = tuple(
    Place(name, {"environment": name, "label_budget": 16}, tuning=32, seeds=1024)
    for name in ("garnet", "gridworld")
)
"""Labels of an update: 16 draws of the policy."""
EXPERIMENT = at_places(
    "oracle-free-processes",
    "In Markov decision processes, under a budget of labels: in how many of a thousand seeds each method "
    "without an oracle collapses, at the weight that other seeds chose.",
    PLACES,
)
"""Apart from `oracle_free_seeds`, since its trials take much longer."""
