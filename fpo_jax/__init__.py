"""fpo_jax: exact parameter-steering gradients for iterative RLHF, in environments small enough to check.

A policy is a differentiable weighted sample of responses; everything else follows. See `fpo_jax.types` for
the nouns, `fpo_jax.steering` for the decomposition, `fpo_jax.simulate` for the loop.
"""

import importlib.metadata

from fpo_jax import supported  # first, since the rest may not even be imported where it refuses

supported.check()

from fpo_jax.differentiate import Autodiff, CentralDifference, ForwardDifference
from fpo_jax.estimators import EffectiveReward, Implicit, ScoreFunction, ZeroOrder
from fpo_jax.expect import expect, follower_loss, leader_value
from fpo_jax.feedback import Labels, Preferences
from fpo_jax.followers import BestResponse, Converged, Gradient
from fpo_jax.hyperparameters import InputError
from fpo_jax.leader import Leader
from fpo_jax.objectives import (
    BestOf,
    Exact,
    FirstOrder,
    Informed,
    Limit,
    Myopic,
    Practical,
    Proximal,
    Relaxed,
    Tracin,
)
from fpo_jax.record import full_record, outcome
from fpo_jax.simulate import run, run_seeds
from fpo_jax.start import seed_keys
from fpo_jax.steering import Decomposition, foresighted_value, steering
from fpo_jax.types import (
    Environment,
    Follower,
    Game,
    Objective,
    Recipe,
    Responses,
    RewardModel,
    State,
    Trace,
)

__all__ = [
    "Autodiff",
    "BestOf",
    "BestResponse",
    "CentralDifference",
    "Converged",
    "Decomposition",
    "EffectiveReward",
    "Environment",
    "Exact",
    "FirstOrder",
    "Follower",
    "ForwardDifference",
    "Game",
    "Gradient",
    "Implicit",
    "Informed",
    "InputError",
    "Labels",
    "Leader",
    "Limit",
    "Myopic",
    "Objective",
    "Practical",
    "Preferences",
    "Proximal",
    "Recipe",
    "Relaxed",
    "Responses",
    "RewardModel",
    "ScoreFunction",
    "State",
    "Trace",
    "Tracin",
    "ZeroOrder",
    "expect",
    "follower_loss",
    "foresighted_value",
    "full_record",
    "leader_value",
    "outcome",
    "run",
    "run_seeds",
    "seed_keys",
    "steering",
]


def __getattr__(name: str) -> str:
    """Return `__version__`, which is looked up only when it is asked for."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return importlib.metadata.version("fpo-jax")
    except importlib.metadata.PackageNotFoundError:  # on the path, and not installed
        return "0+unknown"
