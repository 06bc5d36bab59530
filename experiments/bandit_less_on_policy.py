"""Claim: with less on-policy data even exact foresight leaves part of the policy in the blind spot."""

from fpo_jax.experiments import bandit
from fpo_jax.experiments.runs.experiment import Experiment

EXPERIMENT = Experiment(
    name="bandit-less-on-policy",
    claim=(
        "With a tenth of on-policy data instead of three tenths, RLHF collapses completely, and the exact "
        "steering term prevents only part of the collapse. Relaxed FPO at weight 0.3 over-corrects, and "
        "still keeps the policy out of the blind spot."
    ),
    methods={label: {**wishes, "alpha": 0.1} for label, wishes in bandit.METHODS.items()},
    figures=bandit.draw_figures,
)
