"""Objectives: what the leader ascends. Each is a scalar function of θ; its gradient is the policy's step.

Where the true utility U enters, how it is used is an explicit choice, because in continuous environments
nearly all of relaxed FPO's advantage over practical FPO comes through ∂U/∂y:

    differentiated   ∂U/∂y is known to the leader
    detached         U(y) is a constant label: only its value is known, r_φ(y) is still differentiated
    value            the whole residual r_φ(y) − U(y) is a number: nothing is differentiated through it

In environments whose responses do not depend on θ (a bandit) the three coincide.
"""

from typing import cast

import jax
from flax import struct

from fpo_jax.expect import expect, leader_value, squared_norm
from fpo_jax.hyperparameters import catalogue, choice, count, real
from fpo_jax.steering import foresight_keys, foresighted_value
from fpo_jax.types import (
    Follower,
    Game,
    Key,
    Objective,
    Phi,
    Response,
    RewardModel,
    Scalar,
    Theta,
)

WEIGHT_HELP = "weight of the penalty; 0 is the myopic objective"


@struct.dataclass
class _DetachedUtility:
    game: Game

    def __getattr__(self, name: str) -> object:
        if name == "game" or name.startswith("__"):  # asked for before there is a game, as by a copy
            raise AttributeError(name)
        return getattr(self.game, name)

    def utility(self, y: Response) -> Scalar:
        """Return U(y), detached."""
        return jax.lax.stop_gradient(self.game.utility(y))


def detach_utility(game: Game) -> Game:
    """Return the same game, except that ∂U/∂y = 0: utility is a label whose gradient nobody knows."""
    return cast(Game, _DetachedUtility(game))


@struct.dataclass
class Myopic(Objective):
    """J(θ, φ) at the present φ: iterative RLHF, which drops the steering term (paper)."""

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return J(θ, φ)."""
        responses = game.respond(theta, foresight_keys(key).evaluation)
        return leader_value(game, theta, reward_model.phi, responses)


@struct.dataclass
class Exact(Objective):
    """F(θ) = J(θ, φ⁺(θ)): everything kept, by differentiating through the follower's own updates (ours)."""

    horizon: int = count(1, "updates of the follower that the leader foresees")
    utility: str = choice(
        "differentiated",
        "whether ∂U/∂y of the follower's labels is known to the leader",
        ("differentiated", "detached"),
    )

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return F(θ)."""
        seen = game if self.utility == "differentiated" else detach_utility(game)
        return foresighted_value(seen, follower, theta, reward_model, key, self.horizon)


class Penalised(Objective):
    """J(θ, φ) − weight · E_{y~π_θ}[penalty(y)]: the frame that every first-order approximation shares."""

    weight: float

    def penalty(self, game: Game, phi: Phi, y: Response) -> Scalar:
        """Return the penalty on one response; it is differentiated in θ through y and its weight."""
        raise NotImplementedError

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return J(θ, φ) − weight · E[penalty(y)], both on the same responses."""
        responses = game.respond(theta, foresight_keys(key).evaluation)
        phi = reward_model.phi
        penalty = expect(lambda y: self.penalty(game, phi, y), responses)
        return leader_value(game, theta, phi, responses) - self.weight * penalty


@struct.dataclass
class Relaxed(Penalised):
    """Relaxed FPO: the penalty is explicit self-influence, (r_φ(y) − U(y)) · ‖∇_φ r_φ(y)‖² (paper)."""

    weight: float = real(0.1, WEIGHT_HELP, low=0.0)
    utility: str = choice(
        "differentiated",
        "how U enters the penalty's gradient",
        ("differentiated", "detached", "value"),
    )

    def penalty(self, game: Game, phi: Phi, y: Response) -> Scalar:
        """Return (r − U) ‖∇_φ r‖², with U used as `utility` says."""
        seen = game if self.utility == "differentiated" else detach_utility(game)
        residual = game.reward(phi, y) - seen.utility(y)
        if self.utility == "value":
            residual = jax.lax.stop_gradient(residual)
        return residual * squared_reward_gradient(game, phi, y)


@struct.dataclass
class Practical(Penalised):
    """Practical FPO: the residual replaced by 1, ‖∇_φ r_φ(y)‖², which needs no oracle for U (paper)."""

    weight: float = real(0.1, WEIGHT_HELP, low=0.0)

    def penalty(self, game: Game, phi: Phi, y: Response) -> Scalar:
        """Return ‖∇_φ r‖²."""
        return squared_reward_gradient(game, phi, y)


def squared_reward_gradient(game: Game, phi: Phi, y: Response) -> Scalar:
    """Return ‖∇_φ r_φ(y)‖² for one response, differentiable in y and φ."""
    return squared_norm(jax.grad(game.reward)(phi, y))


OBJECTIVES = catalogue(Myopic, Exact, Relaxed, Practical)
