"""Claim: in how many of a thousand seeds a method without an oracle collapses, in three more environments."""

from fpo_jax.experiments.comparison.methods import Place
from fpo_jax.experiments.oracle_free_seeds import at_places

PLACES = tuple(
    Place(name, {"environment": name, "label_budget": 16}, tuning=32, seeds=1000)
    for name in ("garnet", "gridworld", "contextual")
)
"""Labels of an update: 16 draws of the policy, or pairs of draws in the contextual environment."""
EXPERIMENT = at_places(
    "oracle-free-more-places",
    "As oracle-free-seeds, in two Markov decision processes and in a contextual bandit with preferences: "
    "under a budget of labels, in how many of a thousand seeds each method without an oracle collapses.",
    PLACES,
)
"""Apart from `oracle_free_seeds`, since its trials take much longer."""
