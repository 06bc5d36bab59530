"""The nouns of the theory: responses, games, followers, objectives, and the state they share.

The one idea of the package: *a policy is a differentiable weighted sample of responses*. A bandit policy
is all arms with softmax weights, a deterministic continuous policy is one response of weight 1, a sampled
one is n responses of weight 1/n. Every expectation is then Σ w f(y), and gradients with respect to the
policy's parameters θ flow through the responses or through their weights, without the caller knowing which.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Protocol

import jax
from jaxtyping import Array, PyTree

from fpo_jax.data import (
    Cost,
    Estimate,
    Influence,
    Key,
    Phi,
    Recipe,
    Response,
    RewardModel,
    Scalar,
    State,
    Theta,
    Trace,
    Training,
)
from fpo_jax.errors import InputError
from fpo_jax.game import Game
from fpo_jax.hyperparameters import kebab
from fpo_jax.responses import Responses

__all__ = [
    "KNOWS",
    "UTILITY_USES",
    "Cost",
    "Environment",
    "Estimate",
    "Feedback",
    "Follower",
    "Game",
    "Influence",
    "Key",
    "Objective",
    "Phi",
    "Recipe",
    "Response",
    "Responses",
    "RewardModel",
    "Scalar",
    "State",
    "Theta",
    "Trace",
    "Training",
]


class Feedback(ABC):
    """What a follower is trained on: items made of responses, and a loss of each through its margin m_φ.

    ∇_φ ℓ = scale · residual(m, target) · ∇_φ m. `fpo_jax.feedback` has labels and preferences.
    """

    scale: ClassVar[float]  # ∂ℓ/∂m over the residual
    quadratic: ClassVar[bool]  # whether ℓ is quadratic in m, so that one Newton step minimises it
    label_budget: int | None = None  # items drawn at an update; None: all of them, each by its weight

    @abstractmethod
    def gather(self, game: Game, theta: Theta, responses: Responses, key: Key) -> Responses:
        """Return weighted items made of what π_θ responded; `key` for all that is drawn besides."""
        ...

    @abstractmethod
    def offline(self, game: Game, key: Key) -> Responses | None:
        """Return the items of the game's offline data, or None where it has none."""
        ...

    @abstractmethod
    def sides(self, item: PyTree) -> tuple[Response, ...]:
        """Return the responses of an item, first the one whose reward the leader collects."""
        ...

    @abstractmethod
    def margin(self, game: Game, phi: Phi, item: PyTree) -> Scalar:
        """Return m_φ of an item."""
        ...

    @abstractmethod
    def target(self, game: Game, item: PyTree) -> Scalar:
        """Return what the follower is to predict of an item."""
        ...

    def score(self, item: PyTree) -> Scalar | float:
        """Return 1, with gradient ∇_θ log P(target) where an item's target was drawn; by default it was not.

        It multiplies whatever depends on the target.
        """
        return 1.0

    @abstractmethod
    def loss(self, margin: Scalar, target: Scalar) -> Scalar:
        """Return ℓ."""
        ...

    @abstractmethod
    def residual(self, margin: Scalar, target: Scalar) -> Scalar:
        """Return (∂ℓ/∂m) / scale."""
        ...

    @abstractmethod
    def residual_after(self, margin: Scalar, target: Scalar, step: Scalar) -> Scalar:
        """Return the residual after m⁺ = argmin ℓ / scale + (m⁺ − m)² / (2 step): an implicit step (ours)."""
        ...

    @abstractmethod
    def influence(self, game: Game, phi: Phi, item: PyTree) -> Influence:
        """Return what a step on an item does to the reward of its response and to its margin."""
        ...


class Environment(Protocol):
    """A distribution over games with declared sizes and strengths, and a recipe to run it by."""

    name: ClassVar[str]
    recipe: ClassVar[Recipe]

    def draw(self, key: Key) -> Game:
        """Draw one instance."""
        ...


class Follower(ABC):
    """How the reward model is retrained: φ⁺(θ), a differentiable function of θ."""

    knows: ClassVar[str] = "nothing"  # what of `KNOWS` it needs beside the labels that it trains on

    alpha: float  # share of on-policy data in the training mix
    feedback: Feedback  # what it is trained on
    by_items: ClassVar[bool] = True
    """Whether its loss is E[ℓ] over items of the policy at their weights and others that do not depend on it,
    and a regulariser: then a response acts on φ⁺ through its own items alone."""

    @abstractmethod
    def init(self, game: Game, theta: Theta, phi: Phi, key: Key) -> RewardModel:
        """Return the reward model that the leader meets first, from the initial parameters φ₀."""
        ...

    @abstractmethod
    def update(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return the reward model after one update on what π_θ produces."""
        ...

    @abstractmethod
    def calibrated_weight(self, horizon: int) -> float | None:
        """Return the relaxed penalty's weight that matches this follower in scale, or None if none does."""
        ...

    @property
    def brings_anchor(self) -> bool:
        """Say whether it mixes in data of its own where the environment has no offline data."""
        return False

    def limit(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return the reward model after infinitely many updates at a fixed policy, from this one.

        Raises:
            InputError: by default, since a follower's limit is known only where it says so.
        """
        name = kebab(type(self).__name__)
        raise InputError("follower", name, "gradient or a best response, for a limit of its updates")

    def loss(
        self, game: Game, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[Array], Scalar] | None:
        """Return the loss L(θ, ·) of which an update is a minimiser, as a function of the flattened φ.

        None, the default, says that an update minimises nothing.
        """
        return None

    def training(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Training | None:
        """Return what the next update trains the reward model on, or None, the default, if none can tell.

        It is the loss of a follower that takes a few steps as well as of one that minimises it.
        """
        return None

    def faced(self, game: Game) -> Game:
        """Return the game as leader and follower meet it: by default itself.

        A follower whose reward model is made of several says here how they make one reward. A run does this
        when it draws its instance.
        """
        return game

    def check_start(self, reward_model: RewardModel) -> None:
        """Raise an InputError where the reward models that runs begin with, [run, ...], cannot serve.

        Their values are known, not traced. By default all can.
        """
        return

    def labelled(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Responses | None:
        """Return the items of π_θ whose labels the update with this key pays for; weights sum to 1.

        None, the default, if none can tell.
        """
        return None

    def residual(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Scalar | float:
        """Return how far φ is from the stationary point that an update promises; 0 if it promises none."""
        return 0.0


KNOWS = (
    "nothing",
    "the follower's inputs",
    "the follower's labels",
    "U at will",
    "the follower's rule and U",
    "as its score",
)
"""What a leader must know beyond the reward model; `fpo-jax list` says what each means."""

UTILITY_USES = ("differentiated", "detached", "value")
"""How an objective may use U, see `fpo_jax.objectives`."""


class Objective(ABC):
    """What the leader ascends at the present reward model; it receives the follower it faces.

    Attributes:
        horizon: updates of the follower that it foresees, 1 unless it has a field of this name.
        utility: how it uses U: `differentiated`, `detached` or `value` (`fpo_jax.objectives`).
        solves: whether its gradient is found by solving a linear system, which may fail.
        knows: what the leader must know for it at its defaults, one of `KNOWS`.
        requirement: what a run must be given for its value to be finite at the start; "" if nothing.
        keeps: of how many earlier iterations it keeps something; 0, the default, for none.
    """

    horizon: int = 1
    utility: str = "differentiated"
    solves: ClassVar[bool] = False
    knows: ClassVar[str] = "the follower's rule and U"
    requirement: ClassVar[str] = ""
    keeps: int = 0

    def for_iteration(self, game: Game, follower: Follower, state: State, key: Key) -> Objective:
        """Return the objective for the policy steps of an iteration that begins with this state.

        It has what it kept, which stands there as `earlier`, and what it computes once for all steps. By
        default it is itself.
        """
        return self

    def begin(self, game: Game, follower: Follower, state: State, key: Key) -> PyTree:
        """Return what is kept before the first iteration, which begins with this state: nothing."""
        return ()

    def remember(self, game: Game, follower: Follower, begun: State, ended: State, key: Key) -> PyTree:
        """Return what is kept after an iteration; `begun.earlier` is what was kept before it.

        Args:
            game, follower: the players of this iteration.
            begun: the state with which it began.
            ended: the state after its policy steps, which the follower is about to retrain on.
            key: of that update: with it `Follower.labelled` gives the very items that are paid for.
        """
        return begun.earlier

    @abstractmethod
    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return a scalar whose gradient with respect to θ is the leader's ascent direction."""
        ...

    def estimate(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Estimate:
        """Return the gradient of `value`, as an estimate of dF/dθ, and what it cost."""
        gradient = jax.grad(lambda t: self.value(game, follower, t, reward_model, key))(theta)
        return Estimate(gradient, Cost())

    def as_fpo(self, utility: str) -> Objective | None:
        """Return the same objective as `Fpo` with this use of U, or None where it is another one.

        Objectives in one form share a compiled program.
        """
        return None
