"""Claim: in how many of a thousand seeds a method without an oracle collapses where responses are texts."""

from fpo_jax.experiments.comparison.methods import Place
from fpo_jax.experiments.oracle_free_seeds import at_places

LANGUAGE = Place("language", {"environment": "language", "label_budget": 32}, tuning=8, seeds=1000, width=4)
"""Labels of an update: 32 texts. Among 4 a run takes about a quarter less time than among 32."""

EXPERIMENT = at_places(
    "oracle-free-language",
    "As oracle-free-seeds, in the language environment: in how many of a thousand seeds each method without "
    "an oracle collapses.",
    (LANGUAGE,),
)
