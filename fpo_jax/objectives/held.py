"""Objectives that hold the policy to another one: the first, a reference, or that of some iterations ago.

A divergence compares the weights of the same responses: occupancies in a process, π(y | x) at prompts whose
distribution both policies share.
"""

from abc import abstractmethod
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, PyTree

from fpo_jax.errors import NotDefined
from fpo_jax.expect import leader_value
from fpo_jax.hyperparameters import choice, count, kebab, real
from fpo_jax.numerics.rows import one_row, pushed
from fpo_jax.numerics.square_root import square_root
from fpo_jax.objectives.penalties import WEIGHT_HELP
from fpo_jax.responses import Weights, log_weights
from fpo_jax.steering import foresight_keys
from fpo_jax.types import Follower, Game, Key, Objective, Responses, RewardModel, Scalar, State, Theta

TO = ("start", "reference", "earlier")
"""The policy θ₀, the game's reference policy, the policy of `lag` iterations ago."""


@struct.dataclass
class Held(Objective):
    """An objective that is held to another policy.

    Attributes:
        to: which policy, in `TO`.
        lag: iterations back, for an earlier policy; it is the start until there have been that many.
        policy: θ of that policy, which the loop passes to `for_iteration`; None before.
    """

    knows: ClassVar[str] = "nothing"

    weight: float = real(0.1, WEIGHT_HELP, low=0.0)  # subclasses with their own help text declare it again
    to: str = choice("start", "which policy to hold this one to", TO)
    lag: int = count(10, "how many iterations back the earlier policy is")
    policy: PyTree = struct.field(default=None, kw_only=True)

    @property
    def keeps(self) -> int:  # type: ignore[override]
        """Return how many earlier policies are kept, [keeps, ...] oldest first."""
        return {"start": 1, "reference": 0, "earlier": self.lag}[self.to]

    def for_iteration(self, game: Game, follower: Follower, state: State, key: Key) -> Objective:
        """Return the objective held to the policy of the state."""
        return self.held_to(state.earlier)

    def held_to(self, earlier: PyTree) -> Objective:
        """Return the objective held to the oldest of these policies."""
        if self.keeps == 0:
            return self
        return self.replace(policy=jax.tree.map(lambda leaf: leaf[0], earlier))  # type: ignore[attr-defined]

    def begin(self, game: Game, follower: Follower, state: State, key: Key) -> PyTree:
        """Return one copy of the start for each policy to keep."""
        return jax.tree.map(lambda leaf: jnp.stack([leaf] * self.keeps), state.theta)

    def remember(self, game: Game, follower: Follower, begun: State, ended: State, key: Key) -> PyTree:
        """Return the policies to keep: always the start, or the last `lag`, including this one."""
        if self.to != "earlier":
            return begun.earlier
        return pushed(begun.earlier, one_row(begun.theta))

    def other(self, game: Game, theta: Theta, key: Key) -> Responses:
        """Return the other policy as a weighted sample, detached.

        Outside of a run, before there is one, it is the present policy itself.

        Raises:
            InputError: when there is no reference policy.
        """
        if self.to == "reference":
            reference = game.reference()
            if reference is None:
                allowed = "start or earlier, because this environment has no reference policy"
                raise NotDefined("to", self.to, allowed)
            return jax.lax.stop_gradient(reference)
        policy = theta if self.policy is None else self.policy
        return game.respond(jax.lax.stop_gradient(policy), key)


class _Divergence(Held):
    """J − weight · D(π_θ, the other policy): a subclass says which divergence.

    The value is −∞ if this policy gives weight to a response that has none under the other. A run refuses
    that at its start. If a weight of an earlier policy underflows later, that response adds nothing to ∇D.
    """

    requirement: ClassVar[str] = (
        "held to another policy, such as start: the reference policy gives a response no weight at all"
    )

    @abstractmethod
    def divergence(self, w: Weights, other: Weights, covered: Bool[Array, " n"]) -> Scalar:
        """Return the divergence between weights of the same responses, over those that the other covers."""
        ...

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return J(θ, φ) − weight · D.

        Raises:
            InputError: when the policy is not a distribution over a fixed set of responses.
        """
        if game.places is None:
            allowed = "another one: this policy is not a table of fixed responses (`Game.places`)"
            raise NotDefined("objective", kebab(type(self).__name__), allowed)
        evaluation = foresight_keys(key).evaluation
        responses, other = game.respond(theta, evaluation), self.other(game, theta, evaluation)
        mine, theirs = (jnp.isfinite(log_weights(w)) for w in (responses.w, other.w))
        beyond = jnp.where(jnp.any(mine & ~theirs), jnp.inf, 0.0).astype(other.w.dtype)
        distance = self.divergence(responses.w, other.w, theirs)
        return leader_value(game, theta, reward_model.phi, responses) - self.weight * distance - beyond


@struct.dataclass
class Kl(_Divergence):
    """J − weight · KL(w_θ ‖ w'), w' the weights of the other policy, detached; in nats.

    Held to the start or a reference, this is the usual KL penalty. Held to the policy of `lag` iterations
    ago, it slows the policy down, as a trust region does, and forbids nothing in the end. In a process w is
    the occupancy of state-action pairs, so it also counts where the policy goes.
    """

    weight: float = real(0.1, "β, price of a nat of KL; 0 is the myopic objective", low=0.0)

    def divergence(self, w: Weights, other: Weights, covered: Bool[Array, " n"]) -> Scalar:
        """Return Σ w log(w / w'); 0 · log 0 is 0."""
        mine, theirs = log_weights(w), log_weights(other)
        there = covered & jnp.isfinite(mine)
        ratio = jnp.where(there, mine, 0.0) - jnp.where(there, theirs, 0.0)
        return jnp.sum(jnp.where(there, w * ratio, 0.0))


@struct.dataclass
class ChiSquared(_Divergence):
    """J − weight · √χ²(w_θ ‖ w'), χ² = Σ w²/w' − 1, on exact occupancies (Laidlaw et al., arXiv 2403.03185).

    The square root has derivative 0 where both policies agree.
    """

    weight: float = real(0.1, "λ, price of the root of χ²; 0 is the myopic objective", low=0.0)

    def divergence(self, w: Weights, other: Weights, covered: Bool[Array, " n"]) -> Scalar:
        """Return √(Σ (w − w')² / w'), which is χ² without its cancellation; 0 / 0 is 0."""
        squares = (w - other) ** 2 / jnp.where(covered, other, 1.0)
        return square_root(jnp.sum(jnp.where(covered, squares, 0.0)))
