"""Statistics over seeds. The unit of observation is always one seed's whole run.

A cell is one setting of a grid. Arrays are [..., n]: cells first, seeds last, with the same seeds in every
cell. A seed whose number is not finite has diverged. It is excluded from its own cell, and from both methods
in a comparison. So every figure describes only the seeds that stayed finite, and n counts those. The share of
the others is `share_interval(~np.isfinite(values))`. To count divergence as failure, first give such seeds
the worst value.
"""

from fpo_jax.statistics.bootstrap import Interval
from fpo_jax.statistics.collapse import FALL, LOW, beyond_optimum, collapsed, passing, share_gained
from fpo_jax.statistics.intervals import (
    FEW,
    PairedDifference,
    interquartile_mean,
    mean_interval,
    paired_difference,
    performance_profile,
    probability_of_improvement,
    share_interval,
)
from fpo_jax.statistics.onset import Warned, alarms, auc, highest, onsets, threshold_at, warned

__all__ = [
    "FALL",
    "FEW",
    "LOW",
    "Interval",
    "PairedDifference",
    "Warned",
    "alarms",
    "auc",
    "beyond_optimum",
    "collapsed",
    "highest",
    "interquartile_mean",
    "mean_interval",
    "onsets",
    "paired_difference",
    "passing",
    "performance_profile",
    "probability_of_improvement",
    "share_gained",
    "share_interval",
    "threshold_at",
    "warned",
]
