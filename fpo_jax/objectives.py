"""Objectives: what the leader ascends. Each is a scalar function of θ; its gradient is the policy's step.

Where the true utility U enters, how it is used is an explicit choice, because in continuous environments
nearly all of relaxed FPO's advantage over practical FPO comes through ∂U/∂y:

    differentiated   ∂U/∂y is known to the leader
    detached         U(y) is a constant label: only its value is known, r_φ(y) is still differentiated
    value            the whole residual r_φ(y) − U(y) is a number: nothing is differentiated through it

In environments whose responses do not depend on θ (a bandit) the three coincide.
"""

from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
from flax import struct

from fpo_jax.estimators import EffectiveReward, Implicit, ScoreFunction, ZeroOrder
from fpo_jax.expect import expect, leader_value
from fpo_jax.hyperparameters import catalogue, choice, count, real
from fpo_jax.steering import foresee, foresight_keys, foresighted_value
from fpo_jax.types import (
    Follower,
    Game,
    Key,
    Objective,
    Phi,
    Response,
    Responses,
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


@struct.dataclass
class Limit(Objective):
    """F(θ) at the limit of infinitely many updates of the follower: the horizon k = ∞ (ours)."""

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return J(θ, φ⁺(θ)) with φ⁺ the follower's limit at π_θ."""
        keys = foresight_keys(key)
        phi_plus = follower.limit().init(game, theta, reward_model.phi, keys.data).phi
        return leader_value(game, theta, phi_plus, game.respond(theta, keys.evaluation))


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
        penalty = self.penalty_under(game, theta, phi, responses)
        return leader_value(game, theta, phi, responses) - self.weight * expect(penalty, responses)

    def penalty_under(
        self, game: Game, theta: Theta, phi: Phi, responses: Responses
    ) -> Callable[[Response], Scalar]:
        """Return the penalty as a function of one response, under a policy that gave these responses."""
        return lambda y: self.penalty(game, phi, y)

    def effective_reward(
        self, game: Game, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[Response], Scalar]:
        """Return r_φ(y) − weight · penalty(y) as a function of one response: this rung's stand-in for r̃."""
        responses = game.respond(theta, foresight_keys(key).evaluation)
        penalty = self.penalty_under(game, theta, reward_model.phi, responses)
        return lambda y: game.reward(reward_model.phi, y) - self.weight * penalty(y)


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
        return residual(game, phi, y, self.utility) * squared_reward_gradient(game, phi, y)


@struct.dataclass
class Practical(Penalised):
    """Practical FPO: the residual replaced by 1, ‖∇_φ r_φ(y)‖², which needs no oracle for U (paper)."""

    weight: float = real(0.1, WEIGHT_HELP, low=0.0)

    def penalty(self, game: Game, phi: Phi, y: Response) -> Scalar:
        """Return ‖∇_φ r‖²."""
        return squared_reward_gradient(game, phi, y)


@struct.dataclass
class Fpo(Penalised):
    """FPO with part of an oracle: the penalty is (1 − oracle + oracle · (r − U)) · ‖∇_φ r‖² (ours).

    oracle 1 is relaxed FPO, 0 is practical FPO, and weight 0 is iterative RLHF, whatever the oracle: the
    paper's three arms are one compiled program, and there is a road between the last two.
    """

    weight: float = real(0.1, WEIGHT_HELP, low=0.0)
    oracle: float = real(1.0, "share of the residual r − U that the penalty knows", low=0.0, high=1.0)
    utility: str = choice(
        "differentiated",
        "how U enters the penalty's gradient",
        ("differentiated", "detached", "value"),
    )

    def penalty(self, game: Game, phi: Phi, y: Response) -> Scalar:
        """Return the penalty, with U used as `utility` says."""
        known = 1.0 - self.oracle + self.oracle * residual(game, phi, y, self.utility)
        return known * squared_reward_gradient(game, phi, y)


def residual(game: Game, phi: Phi, y: Response, utility: str) -> Scalar:
    """Return r_φ(y) − U(y) with U differentiated, detached, or the whole used as a value."""
    seen = game if utility == "differentiated" else detach_utility(game)
    difference = game.reward(phi, y) - seen.utility(y)
    return jax.lax.stop_gradient(difference) if utility == "value" else difference


def squared_reward_gradient(game: Game, phi: Phi, y: Response) -> Scalar:
    """Return ‖∇_φ r_φ(y)‖² for one response, differentiable in y and φ."""
    return game.reward_kernel(phi, y, y)


@struct.dataclass
class Proximal(Penalised):
    """Self-influence through an implicit step of the reward model: bounded, so that it never over-corrects.

    With r linear in φ and φ⁺ = argmin ½ (r(y) − U)² + ‖φ − φ_t‖² / (2κ), the reward after the step is
    r̃ = r − κ (r − U) ‖∇_φ r‖² / (1 + κ ‖∇_φ r‖²), between r and U for every weight κ ≥ 0 (ours).
    """

    weight: float = real(
        0.1, "step size κ of the implicit reward-model step; 0 is the myopic objective", low=0.0
    )
    utility: str = choice(
        "differentiated", "how U enters the penalty's gradient", ("differentiated", "detached", "value")
    )

    def penalty(self, game: Game, phi: Phi, y: Response) -> Scalar:
        """Return (r − U) ‖∇_φ r‖² / (1 + κ ‖∇_φ r‖²), with U used as `utility` says."""
        squared = squared_reward_gradient(game, phi, y)
        return residual(game, phi, y, self.utility) * squared / (1.0 + self.weight * squared)


@struct.dataclass
class Tracin(Penalised):
    """The penalty is TracIn with the global gradient: H⁻¹ → step size, ḡ kept (paper, intermediate step).

    ½ ⟨ḡ, ∇_φ ℓ(y)⟩ = (r − U) ⟨ḡ, ∇_φ r(y)⟩ with ḡ = E_π[∇_φ r], detached: the effective reward's, held fixed.
    """

    weight: float = real(0.1, WEIGHT_HELP, low=0.0)
    utility: str = choice(
        "differentiated", "how U enters the penalty's gradient", ("differentiated", "detached", "value")
    )

    def penalty_under(
        self, game: Game, theta: Theta, phi: Phi, responses: Responses
    ) -> Callable[[Response], Scalar]:
        """Return (r − U) ⟨ḡ, ∇_φ r⟩ as a function of one response, with ḡ from these responses."""
        mean_gradient = jax.lax.stop_gradient(
            jax.grad(lambda p: leader_value(game, theta, p, responses))(phi)
        )

        def penalty(y: Response) -> Scalar:
            _, influence = jax.jvp(lambda p: game.reward(p, y), (phi,), (mean_gradient,))
            return residual(game, phi, y, self.utility) * influence

        return penalty


@struct.dataclass
class FirstOrder(Objective):
    """J(θ, φ) + ⟨∂J/∂φ, φ⁺(θ) − φ⟩: one Jacobian-vector product, no curvature, all cross terms (ours).

    Its distance from F is of second order in φ⁺ − φ.
    """

    horizon: int = count(1, "updates of the follower that the leader foresees")

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return F to first order around the present φ."""
        keys = foresight_keys(key)
        responses = game.respond(theta, keys.evaluation)
        phi = reward_model.phi
        phi_plus = foresee(game, follower, theta, reward_model, keys.data, self.horizon).phi
        ahead = jax.tree.map(jnp.subtract, phi_plus, phi)
        value, change = jax.jvp(lambda p: leader_value(game, theta, p, responses), (phi,), (ahead,))
        return value + change


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
)
"""The ladder of approximations, from iterative RLHF over the exact routes down to the practical penalty."""
