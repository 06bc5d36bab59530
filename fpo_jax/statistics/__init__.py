"""Statistics over seeds. The unit of observation is always one seed's whole run.

A cell is one setting of a grid. Arrays are [..., n]: cells first, seeds last, the same seeds in every cell.
A diverged seed, whose number is not finite, is left out of its own cell, from both methods where two are
compared, and n counts the rest: every figure is one of the seeds that stayed finite. How many did not is
`share_interval(~np.isfinite(values))`. To count divergence as failure, give such seeds the worst value first.
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
