"""Objectives with a penalty on what a response does to its own reward: J − weight · E[penalty] (paper).

Each is one scalar formula in the residual r − U and the influence ‖∇_φ r‖² of a response.
"""

from collections.abc import Callable
from typing import Any

import jax
from flax import struct

from fpo_jax.expect import leader_value, value_of
from fpo_jax.hyperparameters import choice, real
from fpo_jax.steering import foresight_keys
from fpo_jax.types import Follower, Game, Key, Objective, Phi, Response, Responses, RewardModel, Scalar, Theta
from fpo_jax.wrapped import detach_utility

WEIGHT_HELP = "weight of the penalty; 0 is the myopic objective"


def _utility_choice() -> Any:
    return choice(
        "differentiated", "how U enters the penalty's gradient", ("differentiated", "detached", "value")
    )


class Penalised(Objective):
    """J(θ, φ) − weight · E_{y~π_θ}[penalty(y)]: the frame that every first-order approximation shares."""

    weight: float

    def penalty(self, residual: Scalar, influence: Scalar) -> Scalar:
        """Return the penalty on one response, from its residual r − U and its influence on itself."""
        raise NotImplementedError

    def influence_under(
        self, game: Game, theta: Theta, phi: Phi, responses: Responses
    ) -> Callable[[Response], tuple[Scalar, Scalar]]:
        """Return reward and influence as a function of one response: r_φ(y) and ‖∇_φ r_φ(y)‖²."""
        return lambda y: game.reward_and_norm(phi, y)

    def effective_reward(
        self, game: Game, theta: Theta, phi: Phi, responses: Responses
    ) -> Callable[[Response], Scalar]:
        """Return r_φ(y) − weight · penalty(y) as a function of one response: this rung's stand-in for r̃.

        It is differentiated in θ through y, with U used as `utility` says.
        """
        known = getattr(self, "utility", "differentiated")  # practical FPO knows no U
        seen = game if known == "differentiated" else detach_utility(game)
        influence_of = self.influence_under(game, theta, phi, responses)

        def effective(y: Response) -> Scalar:
            reward, influence = influence_of(y)
            residual = reward - seen.utility(y)
            residual = jax.lax.stop_gradient(residual) if known == "value" else residual
            return reward - self.weight * self.penalty(residual, influence)

        return effective

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return J(θ, φ) − weight · E[penalty(y)], both on the same responses."""
        responses = game.respond(theta, foresight_keys(key).evaluation)
        effective = self.effective_reward(game, theta, reward_model.phi, responses)
        return value_of(effective, game, theta, responses)


@struct.dataclass
class Relaxed(Penalised):
    """Relaxed FPO: the penalty is explicit self-influence, (r_φ(y) − U(y)) · ‖∇_φ r_φ(y)‖² (paper)."""

    weight: float = real(0.1, WEIGHT_HELP, low=0.0)
    utility: str = _utility_choice()

    def penalty(self, residual: Scalar, influence: Scalar) -> Scalar:
        """Return (r − U) ‖∇_φ r‖²."""
        return residual * influence


@struct.dataclass
class Practical(Penalised):
    """Practical FPO: the residual replaced by 1, ‖∇_φ r_φ(y)‖², which needs no oracle for U (paper)."""

    weight: float = real(0.1, WEIGHT_HELP, low=0.0)

    def penalty(self, residual: Scalar, influence: Scalar) -> Scalar:
        """Return ‖∇_φ r‖²."""
        return influence


@struct.dataclass
class Fpo(Penalised):
    """FPO with part of an oracle: the penalty is (1 − oracle + oracle · (r − U)) · ‖∇_φ r‖² (ours).

    oracle 1 is relaxed FPO, 0 is practical FPO, and weight 0 is iterative RLHF, whatever the oracle: the
    paper's three arms are one compiled program, and there is a road between the last two.
    """

    weight: float = real(0.1, WEIGHT_HELP, low=0.0)
    oracle: float = real(1.0, "share of the residual r − U that the penalty knows", low=0.0, high=1.0)
    utility: str = _utility_choice()

    def penalty(self, residual: Scalar, influence: Scalar) -> Scalar:
        """Return (1 − oracle + oracle · (r − U)) ‖∇_φ r‖²."""
        return (1.0 - self.oracle + self.oracle * residual) * influence


@struct.dataclass
class Proximal(Penalised):
    """Self-influence through an implicit step of the reward model: bounded, so that it never over-corrects.

    With r linear in φ and φ⁺ = argmin ½ (r(y) − U)² + ‖φ − φ_t‖² / (2κ), the reward after the step is
    r̃ = r − κ (r − U) ‖∇_φ r‖² / (1 + κ ‖∇_φ r‖²), between r and U for every weight κ ≥ 0 (ours).
    """

    weight: float = real(
        0.1, "step size κ of the implicit reward-model step; 0 is the myopic objective", low=0.0
    )
    utility: str = _utility_choice()

    def penalty(self, residual: Scalar, influence: Scalar) -> Scalar:
        """Return (r − U) ‖∇_φ r‖² / (1 + κ ‖∇_φ r‖²)."""
        return residual * influence / (1.0 + self.weight * influence)


@struct.dataclass
class Tracin(Penalised):
    """The penalty is TracIn with the global gradient: H⁻¹ → step size, ḡ kept (paper, intermediate step).

    ½ ⟨ḡ, ∇_φ ℓ(y)⟩ = (r − U) ⟨ḡ, ∇_φ r(y)⟩ with ḡ = E_π[∇_φ r], detached: the effective reward's, held fixed.
    """

    weight: float = real(0.1, WEIGHT_HELP, low=0.0)
    utility: str = _utility_choice()

    def influence_under(
        self, game: Game, theta: Theta, phi: Phi, responses: Responses
    ) -> Callable[[Response], tuple[Scalar, Scalar]]:
        """Return reward and influence as a function of one response: r_φ(y) and ⟨ḡ, ∇_φ r_φ(y)⟩."""
        mean_gradient = jax.lax.stop_gradient(
            jax.grad(lambda p: leader_value(game, theta, p, responses))(phi)
        )
        return lambda y: jax.jvp(lambda p: game.reward(p, y), (phi,), (mean_gradient,))

    def penalty(self, residual: Scalar, influence: Scalar) -> Scalar:
        """Return (r − U) ⟨ḡ, ∇_φ r⟩."""
        return residual * influence
