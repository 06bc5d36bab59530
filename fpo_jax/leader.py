"""The leader: its objective, how it differentiates, and how far it steps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, PyTree

from fpo_jax.errors import InputError, NotDefined
from fpo_jax.hyperparameters import choice, count, part, real
from fpo_jax.numerics.differentiators import Autodiff, Differentiator
from fpo_jax.numerics.schedule import annealed
from fpo_jax.types import Follower, Game, Key, Objective, RewardModel, Scalar, State, Theta

RULES = ("gradient", "mirror", "standardised")
"""How θ may follow the gradient."""
RESTARTS = ("kept", "reset", "interpolated")
"""Where the policy steps of an iteration may begin."""


class WithStart(NamedTuple):
    """The data that a restarting leader keeps between iterations.

    Attributes:
        first: θ₀.
        own: the data that its objective keeps.
    """

    first: Theta
    own: PyTree


def of_objective(state: State) -> State:
    """Return the state with the objective's own data as `earlier`."""
    earlier = state.earlier
    return state._replace(earlier=earlier.own) if isinstance(earlier, WithStart) else state


def advantages(gradient: Array, w: Array) -> Array:
    """Return A(y) = g(y) / w(y), or 0 for a response that is never drawn."""
    there = w > jnp.finfo(w.dtype).tiny
    return jnp.where(there, gradient / jnp.where(there, w, 1.0), 0.0)


@struct.dataclass
class Leader:
    """The policy's side of the game: its objective, how it differentiates, and how far it steps.

    θ ← θ + lr(p) · clamp(direction), `policy_steps` times at the same reward model, each with its own noise.
    lr(p) = policy_lr · (1 − policy_lr_decay · pᵖᵒʷᵉʳ) at progress p, power = policy_lr_power; the clamp holds
    each coordinate to ±gradient_clip (paper, neural environment; the linear one has neither).

    The direction is g = ∇_θ objective by the rule `gradient`. The others are for a policy with one logit for
    each response, whose advantages are A(y) = g(y) / w(y), so that E[A] = 0 at each prompt or state:

        mirror         A: π ∝ π · exp(lr · A), the natural gradient F⁺ g but for a constant at each prompt or
                       state, which moves no probability (F the Fisher matrix of π under w)
        standardised   g / √E[A² | x] at each prompt x, or over all of a process: group-standardised
                       advantages (GRPO) in the limit of large groups; the cost is a part of A

    The steps of an iteration begin at the policy that the last one left, or, by `restart`, at θ₀ (`reset`),
    or at θ₀ + interpolation · (θ − θ₀) (`interpolated`), as in iterated RLHF (Wolf, Kirk, Musolesi,
    2505.18126).
    """

    objective: Objective
    policy_lr: float = real(0.02, "learning rate of the policy", low=0.0)
    differentiator: Differentiator = part(Autodiff())
    policy_steps: int = count(1, "policy steps between two updates of the reward model")
    policy_lr_decay: float = real(
        0.0, "share of the learning rate that has decayed by the end", low=0.0, high=1.0
    )
    policy_lr_power: float = real(
        4.0, "exponent of this decay; a larger one decays later", low=0.0, open=True
    )
    gradient_clip: float = real(
        0.0, "clip each coordinate of the gradient to this size; 0 clips none", low=0.0
    )
    rule: str = choice("gradient", "update rule by which θ follows the gradient", RULES)
    restart: str = choice("kept", "where the policy begins an iteration", RESTARTS)
    interpolation: float = real(
        0.5,
        "when restart is interpolated: share of the way from the first policy to the last",
        low=0.0,
        high=1.0,
    )

    def check(self) -> None:
        """Raise an InputError for a finite difference with a detached U, or one divided by a probability."""
        use = self.objective.utility
        if use != "differentiated" and not self.differentiator.detaches:
            allowed = (
                "differentiated, unless the differentiator is autodiff: a finite difference cannot detach U"
            )
            raise InputError("utility", use, allowed)
        if self.rule != "gradient" and not self.differentiator.detaches:
            allowed = "gradient, unless the differentiator is autodiff: advantages divide by probabilities"
            raise InputError("rule", self.rule, allowed)

    def at(self, progress: Scalar | float) -> "Leader":
        """Return the leader with the learning rate and the objective that it has at this progress."""
        final = self.policy_lr * (1.0 - self.policy_lr_decay)
        now = annealed(self.policy_lr, final, self.policy_lr_power, progress)
        objective = self.objective.at(progress)
        return self.replace(policy_lr=now, objective=objective)  # type: ignore[attr-defined]

    @property
    def keeps(self) -> bool:
        """Say whether anything is kept between iterations: by the objective, or θ₀ for a restart."""
        return self.objective.keeps > 0 or self.restart != "kept"

    def begin(self, game: Game, follower: Follower, state: State, key: Key) -> PyTree:
        """Return the data to keep before the first iteration, which begins with this state."""
        own = self.objective.begin(game, follower, state, key) if self.objective.keeps else ()
        return own if self.restart == "kept" else WithStart(state.theta, own)

    def remember(self, game: Game, follower: Follower, begun: State, ended: State, key: Key) -> PyTree:
        """Return the data to keep after an iteration, as `Objective.remember`; θ₀ stays.

        `begun` has the policy that was deployed before the iteration, even if its steps began elsewhere.
        """
        before, after = of_objective(begun), of_objective(ended)
        own = before.earlier
        if self.objective.keeps:
            own = self.objective.remember(game, follower, before, after, key)
        return own if self.restart == "kept" else begun.earlier._replace(own=own)

    def restarted(self, state: State) -> State:
        """Return the state with the policy at which the policy steps of an iteration begin."""
        if self.restart == "kept":
            return state
        share = self.interpolation if self.restart == "interpolated" else 0.0
        theta = jax.tree.map(
            lambda first, now: first + share * (now - first), state.earlier.first, state.theta
        )
        return state._replace(theta=theta)

    def for_iteration(self, game: Game, follower: Follower, state: State, key: Key) -> "Leader":
        """Return the leader with its objective prepared for the policy steps of one iteration."""
        objective = self.objective.for_iteration(game, follower, of_objective(state), key)
        return self.replace(objective=objective)  # type: ignore[attr-defined]

    def step(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Theta:
        """Return θ after one ascent step at the present reward model."""
        gradient = self.differentiator.gradient(
            lambda t: self.objective.value(game, follower, t, reward_model, key), theta
        )
        if self.rule != "gradient":
            gradient = self._by_advantage(game, theta, gradient, key)
        bound = jnp.where(self.gradient_clip > 0, self.gradient_clip, jnp.inf)
        clamped = jax.tree.map(lambda g: jnp.clip(g, -bound, bound), gradient)
        return jax.tree.map(lambda t, g: t + self.policy_lr * g, theta, clamped)

    def _by_advantage(self, game: Game, theta: Theta, gradient: Theta, key: Key) -> Theta:
        """Return the rule's direction for a gradient, for θ with one logit for each response.

        Raises:
            NotDefined: when θ is not of this form.
        """
        weights = game.respond(theta, key).w
        if game.places is None or not isinstance(theta, jax.Array) or theta.size != weights.size:
            allowed = "gradient: this policy does not have one logit for each response"
            raise NotDefined("rule", self.rule, allowed)
        w = weights.reshape(theta.shape)
        advantage = advantages(gradient, w)
        if self.rule == "mirror":
            return advantage
        by_prompt = (w.reshape(game.prompts, -1), advantage.reshape(game.prompts, -1))
        mass = jnp.sum(by_prompt[0], axis=1, keepdims=True)
        variance = jnp.sum(by_prompt[0] * by_prompt[1] ** 2, axis=1, keepdims=True) / mass
        deviation = jnp.sqrt(jnp.where(variance > 0, variance, 1.0))
        return (gradient.reshape(game.prompts, -1) / deviation).reshape(theta.shape)
