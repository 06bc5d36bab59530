"""The nouns of the theory: responses, games, followers, objectives, and the state they share.

The one idea of the package: *a policy is a differentiable weighted sample of responses*. A bandit policy is
all arms with softmax weights, a deterministic continuous policy is one response of weight 1, and a sampled
one is n responses of weight 1/n. Every expectation is then Σ w f(y). Gradients with respect to the policy's
parameters θ flow through the responses or through their weights; the caller need not know which.
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
    """The training signal of a follower: items made of responses, and a loss on each through its margin m_φ.

    ∇_φ ℓ = scale · residual(m, target) · ∇_φ m. `fpo_jax.feedback` has labels and preferences.
    """

    scale: ClassVar[float]  # ∂ℓ/∂m divided by the residual
    quadratic: ClassVar[bool]  # whether ℓ is quadratic in m; then one Newton step minimises it
    label_budget: int | None = None  # items drawn at an update; None: all of them, each by its weight

    @abstractmethod
    def gather(self, game: Game, theta: Theta, responses: Responses, key: Key) -> Responses:
        """Return weighted items made from the responses of π_θ; `key` is for all other draws."""
        ...

    @abstractmethod
    def offline(self, game: Game, key: Key) -> Responses | None:
        """Return the items of the game's offline data, or None where it has none."""
        ...

    @abstractmethod
    def sides(self, item: PyTree) -> tuple[Response, ...]:
        """Return the responses of an item; the leader collects the reward of the first."""
        ...

    @abstractmethod
    def margin(self, game: Game, phi: Phi, item: PyTree) -> Scalar:
        """Return m_φ of an item."""
        ...

    @abstractmethod
    def target(self, game: Game, item: PyTree) -> Scalar:
        """Return the target that the follower should predict for an item."""
        ...

    def score(self, item: PyTree) -> Scalar | float:
        """Return 1, with gradient ∇_θ log P(target) if an item's target was drawn; by default it was not.

        It multiplies everything that depends on the target.
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

    def item_residual(self, game: Game, phi: Phi, item: PyTree) -> Scalar:
        """Return the residual of an item with its label at φ."""
        return self.residual(self.margin(game, phi, item), self.target(game, item))

    @abstractmethod
    def residual_after(self, margin: Scalar, target: Scalar, step: Scalar) -> Scalar:
        """Return the residual after m⁺ = argmin ℓ / scale + (m⁺ − m)² / (2 step): an implicit step (ours)."""
        ...

    @abstractmethod
    def influence(self, game: Game, phi: Phi, item: PyTree) -> Influence:
        """Return the effect of a step on an item on the reward of its response and on its margin."""
        ...


class Environment(Protocol):
    """A distribution over games with declared sizes and strengths, and a recipe with its default settings."""

    name: ClassVar[str]
    recipe: ClassVar[Recipe]

    def draw(self, key: Key) -> Game:
        """Draw one instance."""
        ...


class Follower(ABC):
    """How the reward model is retrained: φ⁺(θ), a differentiable function of θ."""

    knows: ClassVar[str] = "nothing"  # the entry of `KNOWS` that it needs beside the labels it trains on

    alpha: float  # share of on-policy data in the training mix
    feedback: Feedback  # its training signal
    by_items: ClassVar[bool] = True
    """Whether its loss is a regulariser plus E[ℓ] over items of the policy, at their weights, and items that
    do not depend on the policy. Then a response acts on φ⁺ only through its own items.
    """

    @abstractmethod
    def init(self, game: Game, theta: Theta, phi: Phi, key: Key) -> RewardModel:
        """Return the reward model that the leader meets first, from the initial parameters φ₀."""
        ...

    @abstractmethod
    def update(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return the reward model after one update on responses of π_θ."""
        ...

    @abstractmethod
    def calibrated_weight(self, horizon: int) -> float | None:
        """Return the weight at which the relaxed penalty has the scale of this follower, or None."""
        ...

    @property
    def brings_anchor(self) -> bool:
        """Say whether it mixes in its own data when the environment has no offline data."""
        return False

    def limit(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return the reward model after infinitely many updates at a fixed policy, from this one.

        Raises:
            InputError: by default, because only a follower itself can define its limit.
        """
        name = kebab(type(self).__name__)
        raise InputError("follower", name, "gradient or a best response, since only these have a limit")

    def loss(
        self, game: Game, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[Array], Scalar] | None:
        """Return the loss L(θ, ·) that an update minimises, as a function of the flattened φ.

        None, the default, means that an update minimises nothing.
        """
        return None

    def training(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Training | None:
        """Return the training data of the next update, or None, the default, if they are unknown.

        They apply to a follower that takes a few steps as well as to one that minimises the loss.
        """
        return None

    def faced(self, game: Game) -> Game:
        """Return the game as leader and follower see it: by default the game itself.

        A follower with several reward models combines their rewards here. A run calls it when it draws its
        instance.
        """
        return game

    def check_start(self, reward_model: RewardModel) -> None:
        """Raise an InputError if the runs' initial reward models, [run, ...], cannot be used.

        Their values are known, not traced. By default all are accepted.
        """
        return

    def labelled(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> Responses | None:
        """Return the items of π_θ whose labels the update with this key buys; weights sum to 1.

        None, the default, means that they are unknown.
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
"""What a leader must know beyond the reward model; `fpo-jax list` explains each."""

UTILITY_USES = ("differentiated", "detached", "value")
"""How an objective may use U; see `fpo_jax.objectives`."""


class Objective(ABC):
    """What the leader ascends at the present reward model; its methods also receive the follower.

    Attributes:
        horizon: updates of the follower that it foresees; 1 unless a subclass has a field of this name.
        utility: how it uses U: `differentiated`, `detached` or `value` (`fpo_jax.objectives`).
        solves: whether its gradient needs a linear solve, which may fail.
        knows: what the leader must know to use it with its defaults, one of `KNOWS`.
        requirement: what a run must provide for its value to be finite at the start; "" if nothing.
        keeps: number of earlier iterations of which it keeps data; 0 by default.
    """

    horizon: int = 1
    utility: str = "differentiated"
    solves: ClassVar[bool] = False
    knows: ClassVar[str] = "the follower's rule and U"
    requirement: ClassVar[str] = ""
    keeps: int = 0

    def at(self, progress: Scalar | float) -> Objective:
        """Return this objective after a share `progress`, in [0, 1], of the iterations: for annealing."""
        return self

    def for_iteration(self, game: Game, follower: Follower, state: State, key: Key) -> Objective:
        """Return the objective for the policy steps of an iteration that begins with this state.

        It contains its kept data, the `earlier` of this state, and whatever it computes once for all steps.
        By default it is the objective itself.
        """
        return self

    def begin(self, game: Game, follower: Follower, state: State, key: Key) -> PyTree:
        """Return the data to keep before the first iteration, which begins with this state; by default ().

        Neither this nor `remember` is called where `keeps` is 0.
        """
        return ()

    def remember(self, game: Game, follower: Follower, begun: State, ended: State, key: Key) -> PyTree:
        """Return the data to keep after an iteration; `begun.earlier` is the data kept before it.

        Args:
            game, follower: the players of this iteration.
            begun: the state at its beginning.
            ended: the state after its policy steps, which the follower is about to retrain on.
            key: of that update; with it `Follower.labelled` returns exactly the labelled items.
        """
        return begun.earlier

    @abstractmethod
    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return a scalar whose gradient in θ is the leader's ascent direction."""
        ...

    def estimate(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Estimate:
        """Return the gradient of `value`, as an estimate of dF/dθ, and what it cost."""
        gradient = jax.grad(lambda t: self.value(game, follower, t, reward_model, key))(theta)
        return Estimate(gradient, Cost())

    def as_fpo(self, utility: str) -> Objective | None:
        """Return the same objective in the form of `Fpo` with this use of U, or None if there is none.

        Objectives in one form share a compiled program.
        """
        return None
