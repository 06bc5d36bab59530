"""Claim: what closes the distance between practical FPO and an oracle on words, with labels paid for."""

import dataclasses

from fpo_jax.experiments import oracle_free
from fpo_jax.experiments.comparison.methods import Place

EXPERIMENT = oracle_free.with_few_iterations(
    dataclasses.replace(
        oracle_free.EXPERIMENT,
        name="oracle-free-language",
        claim=f"A policy of words. {oracle_free.EXPERIMENT.claim}",
        places=(Place("language", {"environment": "language", "label_budget": 32}, tuning=4, seeds=64),),
    )
)
"""Apart from the others, since it takes so much longer. 32 labels an update."""
