"""Objectives that hold the policy to another one: the first, a reference, or that of some iterations ago.

A divergence is of weighted samples of the same responses, a sum over their weights: of occupancies in a
process, of π(y | x) at prompts whose distribution both share.
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
        lag: iterations back, where it is an earlier one; the start until there have been so many.
        policy: θ of that policy, which the loop hands over by `for_iteration`; None before.
    """

    knows: ClassVar[str] = "nothing"

    weight: float = real(0.1, WEIGHT_HELP, low=0.0)  # said again by what has its own words for it
    to: str = choice("start", "policy to which this one is held", TO)
    lag: int = count(10, "iterations back to an earlier policy")
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
        """Return the start as often as there are policies to keep, or nothing."""
        if self.keeps == 0:
            return ()
        return jax.tree.map(lambda leaf: jnp.stack([leaf] * self.keeps), state.theta)

    def remember(self, game: Game, follower: Follower, begun: State, ended: State, key: Key) -> PyTree:
        """Return the policies to keep: the start for ever, or the last `lag`, this one among them."""
        if self.to != "earlier":
            return begun.earlier
        return jax.tree.map(
            lambda kept, now: jnp.concatenate([kept[1:], now[None]]), begun.earlier, begun.theta
        )

    def other(self, game: Game, theta: Theta, key: Key) -> Responses:
        """Return the other policy as a weighted sample, detached.

        Held to nothing yet, as outside of a run, it is the present policy itself.

        Raises:
            InputError: when there is no reference policy.
        """
        if self.to == "reference":
            reference = game.reference()
            if reference is None:
                allowed = "start or earlier, since this environment has no reference policy"
                raise NotDefined("to", self.to, allowed)
            return jax.lax.stop_gradient(reference)
        policy = theta if self.policy is None else self.policy
        return game.respond(jax.lax.stop_gradient(policy), key)


class _Divergence(Held):
    """J − weight · D(π_θ, the other policy): a subclass says which divergence.

    The value is −∞ where this policy gives weight to a response to which the other gives none. A run refuses
    that at its start; where a weight of an earlier policy underflows later, that response adds nothing to ∇D.
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
            InputError: where the policy is no distribution over responses that are always the same.
        """
        if game.places is None:
            allowed = "another one: this policy is no table of fixed responses (`Game.places`)"
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

    To the start or a reference it is the usual leash; to the policy of `lag` iterations ago it slows the
    policy down, as a trust region does, and forbids nothing in the end. In a process w is the occupancy of
    state-action pairs, so that it counts where the policy goes as well.
    """

    weight: float = real(0.1, "β, price of a nat; 0 is the myopic objective", low=0.0)

    def divergence(self, w: Weights, other: Weights, covered: Bool[Array, " n"]) -> Scalar:
        """Return Σ w log(w / w'); 0 · log 0 is 0."""
        mine, theirs = log_weights(w), log_weights(other)
        there = covered & jnp.isfinite(mine)
        ratio = jnp.where(there, mine, 0.0) - jnp.where(there, theirs, 0.0)
        return jnp.sum(jnp.where(there, w * ratio, 0.0))


@struct.dataclass
class ChiSquared(_Divergence):
    """J − weight · √χ²(w_θ ‖ w'), χ² = Σ w²/w' − 1, on exact occupancies (Laidlaw et al., arXiv 2403.03185).

    The root has derivative 0 where both policies agree.
    """

    weight: float = real(0.1, "λ, price of the root of χ²; 0 is the myopic objective", low=0.0)

    def divergence(self, w: Weights, other: Weights, covered: Bool[Array, " n"]) -> Scalar:
        """Return √(Σ (w − w')² / w'), which is χ² without its cancellation; 0 / 0 is 0."""
        squares = (w - other) ** 2 / jnp.where(covered, other, 1.0)
        return square_root(jnp.sum(jnp.where(covered, squares, 0.0)))
