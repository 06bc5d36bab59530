"""Performative problems as games, with known answers for testing your own method.

A leader deploys θ, and the world answers with a distribution that depends on θ. The world is the follower,
φ⁺(θ) are the parameters of its distribution, and J(θ, φ) = −E_{z~D(φ)}[loss(z; θ)]. Then

    performatively stable point    ∂J/∂θ(θ, φ⁺(θ)) = 0: where the myopic leader comes to rest
    performatively optimal point   max_θ F(θ), F(θ) = J(θ, φ⁺(θ)): where the exact leader does
    retraining slope               of θ ↦ argmax_θ' J(θ', φ⁺(θ)): repeated retraining converges if |slope| < 1

Each game has all three in closed form, derived in its docstring. θ is a number, except in two games with
logits.
"""

from fpo_jax.testing.performative.problem import Performative, World
from fpo_jax.testing.performative.scalar import (
    BiasedCoin,
    ConcaveTrap,
    LinearMean,
    Number,
    RidgeRegression,
    retraining,
)
from fpo_jax.testing.performative.softmax import Audit, PrevalenceBandit

__all__ = [
    "Audit",
    "BiasedCoin",
    "ConcaveTrap",
    "LinearMean",
    "Number",
    "Performative",
    "PrevalenceBandit",
    "RidgeRegression",
    "World",
    "retraining",
]
