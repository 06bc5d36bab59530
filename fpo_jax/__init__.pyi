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
    EffectiveReward,
    Exact,
    FirstOrder,
    Fpo,
    Implicit,
    Informed,
    Limit,
    Myopic,
    Practical,
    Proximal,
    Relaxed,
    ScoreFunction,
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
    "CentralDifference",
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
    "Implicit",
    "Informed",
    "InputError",
    "Labels",
    "Leader",
    "Limit",
    "Myopic",
    "Objective",
    "Optax",
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
