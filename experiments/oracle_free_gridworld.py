"""Claim: in how many of a thousand gridworlds a method without an oracle collapses."""

from fpo_jax.experiments.comparison.methods import Place
from fpo_jax.experiments.oracle_free_seeds import at_places

GRIDWORLD = Place("gridworld", {"environment": "gridworld", "label_budget": 16}, tuning=32, seeds=1024)
"""Labels of an update: 16 draws of the policy."""
EXPERIMENT = at_places(
    "oracle-free-gridworld",
    "As oracle-free-seeds, in gridworlds: under a budget of labels, in how many of a thousand seeds each "
    "method without an oracle collapses.",
    (GRIDWORLD,),
)
