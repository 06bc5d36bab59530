from .continuation import Branch, branches, continued
from .engine.initial import seed_keys
from .engine.runs import run_seed, run_seeds
from .equilibria import Equilibrium, equilibrium, largest_stable_step
from .errors import InputError
from .expect import follower_loss, leader_value
from .feedback import Labels, Preferences
from .followers import BestResponse, Converged, Gradient, Optax
from .leader import Leader
from .numerics.differentiators import Autodiff, CentralDifference, ForwardDifference
from .objectives import (
    BestOf,
    ChiSquared,
    EffectiveReward,
    Exact,
    FirstOrder,
    Fpo,
    GradientNorm,
    Implicit,
    Informed,
    Kl,
    Leverage,
    Limit,
    Myopic,
    Pessimistic,
    Practical,
    Proximal,
    Relaxed,
    ScoreFunction,
    Shaped,
    Tracin,
    ZeroOrder,
)
from .record import full_record, outcome
from .steering import Decomposition, foresighted_value
from .types import Environment, Follower, Game, Objective, Recipe, Responses, RewardModel, State, Trace

__version__: str

__all__ = [
    "Autodiff",
    "BestOf",
    "BestResponse",
    "Branch",
    "CentralDifference",
    "ChiSquared",
    "Converged",
    "Decomposition",
    "EffectiveReward",
    "Environment",
    "Equilibrium",
    "Exact",
    "FirstOrder",
    "Follower",
    "ForwardDifference",
    "Fpo",
    "Game",
    "Gradient",
    "GradientNorm",
    "Implicit",
    "Informed",
    "InputError",
    "Kl",
    "Labels",
    "Leader",
    "Leverage",
    "Limit",
    "Myopic",
    "Objective",
    "Optax",
    "Pessimistic",
    "Practical",
    "Preferences",
    "Proximal",
    "Recipe",
    "Relaxed",
    "Responses",
    "RewardModel",
    "ScoreFunction",
    "Shaped",
    "State",
    "Trace",
    "Tracin",
    "ZeroOrder",
    "branches",
    "continued",
    "equilibrium",
    "follower_loss",
    "foresighted_value",
    "full_record",
    "largest_stable_step",
    "leader_value",
    "outcome",
    "run_seed",
    "run_seeds",
    "seed_keys",
]
