"""Objectives with a penalty on a response's effect on its own reward: J − weight · E[penalty] (paper).

Each is one scalar formula in the residual of an item and its influence ⟨∇_φ r(y), ∇_φ m⟩ on its own reward
(`fpo_jax.feedback`): r − U and ‖∇_φ r‖² of a label; p_φ − p* and ⟨∇r(y), ∇r(y) − ∇r(y')⟩ of a preference.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
from flax import struct
from jaxtyping import PyTree

from fpo_jax.expect import expect, leader_value
from fpo_jax.hyperparameters import choice, real
from fpo_jax.steering import foresight_keys
from fpo_jax.types import (
    UTILITY_USES,
    Follower,
    Game,
    Influence,
    Key,
    Objective,
    RewardModel,
    Scalar,
    Theta,
)
from fpo_jax.wrappers import as_known

Residual = Callable[[PyTree, Scalar, Influence], Scalar]

WEIGHT_HELP = "weight of the penalty; 0 is the myopic objective"
ORACLE_HELP = "share of the residual that the penalty knows"


def utility_choice() -> Any:
    """Declare how a penalty uses U."""
    return choice("differentiated", "how U enters the penalty's gradient", UTILITY_USES)


class Penalised(Objective):
    """J(θ, φ) − weight · E[penalty], over the items that the follower's feedback makes of π_θ's responses.

    All first-order approximations share this form.
    """

    weight: float

    def penalty(self, residual: Scalar, influence: Influence) -> Scalar:
        """Return the penalty on one item, from its residual and its influence on its own reward."""
        return residual * influence.on_reward

    def known(self, game: Game) -> Game:
        """Return the game as the leader knows it, with ∂U/∂y or without."""
        return as_known(game, self.utility)

    def residuals(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Residual:
        """Return the residual that the penalty sees, as a function of an item, its target and influence.

        It includes the score of the label, which affects nothing else in a penalty.
        """
        feedback = follower.feedback
        return lambda item, target, influence: (
            feedback.score(item) * feedback.residual(influence.margin, target)
        )

    def influence_under(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[PyTree], Influence]:
        """Return the influence of one item as a function of it."""
        return lambda item: follower.feedback.influence(game, reward_model.phi, item)

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return J(θ, φ) − weight · E[penalty], both on the same items; θ is differentiated through them."""
        known, feedback, keys = self.known(game), follower.feedback, foresight_keys(key)
        responses = game.respond(theta, keys.evaluation)
        items = feedback.gather(known, theta, responses, keys.data)
        influence_of = self.influence_under(game, follower, theta, reward_model, key)
        residual_of = self.residuals(game, follower, theta, reward_model, key)

        def effective(item: PyTree) -> Scalar:
            influence, target = influence_of(item), feedback.target(known, item)
            of = item, target, influence
            if self.utility == "value":  # nothing of r − U is differentiated, its label's score included
                fixed = jax.lax.stop_gradient((item, target, influence.margin))
                of = *fixed[:2], influence._replace(margin=fixed[2])
            return influence.reward - self.weight * self.penalty(residual_of(*of), influence)

        return expect(effective, items) - game.cost(theta, responses)


@struct.dataclass
class Relaxed(Penalised):
    """Relaxed FPO: the penalty is explicit self-influence (paper).

    For labels (r_φ(y) − U(y)) · ‖∇_φ r_φ(y)‖², for preferences (p_φ − p*) ⟨∇r(y), ∇r(y) − ∇r(y')⟩.
    """

    knows: ClassVar[str] = "U at will"

    weight: float = real(0.1, WEIGHT_HELP, low=0.0)
    utility: str = utility_choice()

    def as_fpo(self, utility: str) -> Objective | None:
        """Return FPO with the whole residual."""
        return Fpo(weight=self.weight, oracle=1.0, utility=utility) if utility == self.utility else None


@struct.dataclass
class Practical(Penalised):
    """Practical FPO: the residual replaced by 1, ‖∇_φ r_φ(y)‖², which needs no oracle for U (paper).

    For preferences ⟨∇_φ r(y), ∇_φ r(y) − ∇_φ r(y')⟩, which needs no annotator.
    """

    knows: ClassVar[str] = "nothing"

    weight: float = real(0.1, WEIGHT_HELP, low=0.0)

    def penalty(self, residual: Scalar, influence: Influence) -> Scalar:
        """Return the influence alone."""
        return influence.on_reward

    def as_fpo(self, utility: str) -> Objective:
        """Return FPO without the residual, so that its use of U does not matter."""
        return Fpo(weight=self.weight, oracle=0.0, utility=utility)


@struct.dataclass
class Fpo(Penalised):
    """FPO with part of an oracle: the penalty is (1 − oracle + oracle · residual) · influence (ours).

    oracle 1 is relaxed FPO, 0 is practical FPO, and weight 0 is iterative RLHF with any oracle. So the
    paper's three arms are one compiled program, and values in between interpolate.
    """

    knows: ClassVar[str] = "U at will"

    weight: float = real(0.1, WEIGHT_HELP, low=0.0)
    oracle: float = real(1.0, ORACLE_HELP, low=0.0, high=1.0)
    utility: str = utility_choice()

    def penalty(self, residual: Scalar, influence: Influence) -> Scalar:
        """Return (1 − oracle + oracle · residual) · influence."""
        return (1.0 - self.oracle + self.oracle * residual) * influence.on_reward

    def as_fpo(self, utility: str) -> Objective | None:
        """Return itself."""
        return self if utility == self.utility else None


@struct.dataclass
class Proximal(Penalised):
    """Self-influence through an implicit step of the reward model: bounded, so that it never over-corrects.

    The residual is taken after the step φ⁺ = argmin ℓ / scale + ‖φ − φ_t‖² / (2κ), with r linear in φ. For
    labels the reward becomes r̃ = r − κ (r − U) ‖∇_φ r‖² / (1 + κ ‖∇_φ r‖²), between r and U for every weight
    κ ≥ 0; for preferences the margin falls between m and the one at which p_φ = p* (ours).
    """

    knows: ClassVar[str] = "U at will"

    weight: float = real(
        0.1, "step size κ of the implicit reward-model step; 0 is the myopic objective", low=0.0
    )
    utility: str = utility_choice()

    def residuals(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Residual:
        """Return the residual after the step, (r − U) / (1 + κ ‖∇_φ r‖²) for labels."""

        def after(item: PyTree, target: Scalar, influence: Influence) -> Scalar:
            step, feedback = self.weight * influence.on_margin, follower.feedback
            return feedback.score(item) * feedback.residual_after(influence.margin, target, step)

        return after


@struct.dataclass
class Tracin(Penalised):
    """The penalty is TracIn with the global gradient: H⁻¹ → step size, ḡ kept (paper, intermediate step).

    ⟨ḡ, ∇_φ ℓ⟩ / scale = residual · ⟨ḡ, ∇_φ m⟩ with ḡ = E_π[∇_φ r], detached: the effective reward's.
    """

    knows: ClassVar[str] = "U at will"

    weight: float = real(0.1, WEIGHT_HELP, low=0.0)
    utility: str = utility_choice()

    def influence_under(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[PyTree], Influence]:
        """Return the influence of one item on the whole policy's reward, ⟨ḡ, ∇_φ m⟩."""
        feedback, phi = follower.feedback, reward_model.phi
        responses = game.respond(theta, foresight_keys(key).evaluation)
        mean_gradient = jax.lax.stop_gradient(
            jax.grad(lambda p: leader_value(game, theta, p, responses))(phi)
        )

        def influence(item: PyTree) -> Influence:
            _, change = jax.jvp(lambda p: feedback.margin(game, p, item), (phi,), (mean_gradient,))
            return feedback.influence(game, phi, item)._replace(on_reward=change)

        return influence
