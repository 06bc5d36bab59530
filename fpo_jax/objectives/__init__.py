"""Objectives that the leader ascends. Each is a scalar function of θ; its gradient is the policy's step.

Where the true utility U enters, its use is an explicit choice, because in continuous environments nearly all
of relaxed FPO's advantage over practical FPO comes through ∂U/∂y:

    differentiated   ∂U/∂y is known to the leader
    detached         U(y) is a constant label: only its value is known, r_φ(y) is still differentiated
    value            the whole residual r_φ(y) − U(y) is a number: nothing is differentiated through it

In environments whose responses do not depend on θ (a bandit) the three coincide.
"""

from fpo_jax.hyperparameters import catalogue
from fpo_jax.objectives.best_of_n import BestOf
from fpo_jax.objectives.carried import Carried
from fpo_jax.objectives.drift import Drift
from fpo_jax.objectives.effective_reward import EffectiveReward
from fpo_jax.objectives.ensemble import Ensemble
from fpo_jax.objectives.exact import Exact, FirstOrder, Limit
from fpo_jax.objectives.gradient_norm import GradientNorm
from fpo_jax.objectives.held import ChiSquared, Kl
from fpo_jax.objectives.implicit import Implicit
from fpo_jax.objectives.leverage import Leverage, Pessimistic
from fpo_jax.objectives.myopic import Myopic
from fpo_jax.objectives.partial_oracle import Informed
from fpo_jax.objectives.penalties import Fpo, Practical, Proximal, Relaxed, Tracin
from fpo_jax.objectives.score_function import ScoreFunction
from fpo_jax.objectives.shaped import Shaped
from fpo_jax.objectives.zero_order import ZeroOrder

OBJECTIVES = catalogue(
    Myopic,
    Exact,
    Limit,
    Implicit,
    EffectiveReward,
    ZeroOrder,
    ScoreFunction,
    FirstOrder,
    Tracin,
    Proximal,
    Relaxed,
    Practical,
    Fpo,
    Informed,
    Carried,
    Drift,
    BestOf,
    Leverage,
    Pessimistic,
    Kl,
    ChiSquared,
    GradientNorm,
    Shaped,
    Ensemble,
)
"""The ladder of approximations, from iterative RLHF through the exact routes down to the practical penalty,
followed by other remedies against an over-optimised reward model.
"""

__all__ = [
    "OBJECTIVES",
    "BestOf",
    "Carried",
    "ChiSquared",
    "Drift",
    "EffectiveReward",
    "Ensemble",
    "Exact",
    "FirstOrder",
    "Fpo",
    "GradientNorm",
    "Implicit",
    "Informed",
    "Kl",
    "Leverage",
    "Limit",
    "Myopic",
    "Pessimistic",
    "Practical",
    "Proximal",
    "Relaxed",
    "ScoreFunction",
    "Shaped",
    "Tracin",
    "ZeroOrder",
]
