"""Followers: how the reward model is retrained on what the policy produces.

Each is a pure function φ⁺(θ), so automatic differentiation gives dφ⁺/dθ. A follower holds only
hyperparameters. All state that changes between updates is in the `RewardModel` that it receives and returns.
"""

from fpo_jax.followers.best_response import BestResponse, Converged
from fpo_jax.followers.centred import Centred
from fpo_jax.followers.data_smoothing import DataSmoothing
from fpo_jax.followers.ensemble import Ensemble
from fpo_jax.followers.gradient import Gradient
from fpo_jax.followers.importance_weighted import ImportanceWeighted
from fpo_jax.followers.monitored import Monitored
from fpo_jax.followers.optax import Optax
from fpo_jax.followers.optimistic_fit import OptimisticFit
from fpo_jax.followers.past_models import PastModels
from fpo_jax.followers.pessimistic_fit import PessimisticFit
from fpo_jax.followers.replayed import Replayed
from fpo_jax.hyperparameters import catalogue

FOLLOWERS = catalogue(
    Gradient,
    Optax,
    BestResponse,
    Converged,
    ImportanceWeighted,
    PessimisticFit,
    OptimisticFit,
    DataSmoothing,
    Centred,
    Ensemble,
    PastModels,
    Replayed,
)
"""Every follower class by the name a user types."""

__all__ = [
    "FOLLOWERS",
    "BestResponse",
    "Centred",
    "Converged",
    "DataSmoothing",
    "Ensemble",
    "Gradient",
    "ImportanceWeighted",
    "Monitored",
    "Optax",
    "OptimisticFit",
    "PastModels",
    "PessimisticFit",
    "Replayed",
]
