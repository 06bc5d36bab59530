"""The leader: what it ascends, how it differentiates, how far it steps."""

import jax
import jax.numpy as jnp
from flax import struct

from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import count, part, real
from fpo_jax.numerics.differentiators import Autodiff, Differentiator
from fpo_jax.numerics.schedule import annealed
from fpo_jax.types import Follower, Game, Key, Objective, RewardModel, Scalar, Theta


@struct.dataclass
class Leader:
    """The policy's side of the game: what it ascends, how it differentiates, how far it steps.

    θ ← θ + lr(p) · clamp(∇_θ objective), `policy_steps` times at the same reward model, each with noise of
    its own. lr(p) = policy_lr · (1 − policy_lr_decay · pᵖᵒʷᵉʳ) at progress p, power = policy_lr_power; the
    clamp holds each coordinate to ±gradient_clip (paper, neural environment; the linear one has neither).
    """

    objective: Objective
    policy_lr: float = real(0.02, "learning rate of the policy", low=0.0)
    differentiator: Differentiator = part(Autodiff())
    policy_steps: int = count(1, "policy steps between two updates of the reward model")
    policy_lr_decay: float = real(0.0, "share of the learning rate lost by the end", low=0.0, high=1.0)
    policy_lr_power: float = real(4.0, "how late the learning rate is lost", low=0.0, open=True)
    gradient_clip: float = real(0.0, "largest size of a gradient's coordinate; 0: none", low=0.0)

    def check(self) -> None:
        """Raise an InputError when U should be detached from a difference, which cannot detach anything."""
        use = self.objective.utility
        if use != "differentiated" and not self.differentiator.detaches:
            allowed = "differentiated, unless the differentiator is autodiff: a difference cannot detach it"
            raise InputError("utility", use, allowed)

    def at(self, progress: Scalar | float) -> "Leader":
        """Return the leader with the learning rate that it has at this progress."""
        final = self.policy_lr * (1.0 - self.policy_lr_decay)
        now = annealed(self.policy_lr, final, self.policy_lr_power, progress)
        return self.replace(policy_lr=now)  # type: ignore[attr-defined]

    def step(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Theta:
        """Return θ after one ascent step at the present reward model."""
        gradient = self.differentiator.gradient(
            lambda t: self.objective.value(game, follower, t, reward_model, key), theta
        )
        bound = jnp.where(self.gradient_clip > 0, self.gradient_clip, jnp.inf)
        clamped = jax.tree.map(lambda g: jnp.clip(g, -bound, bound), gradient)
        return jax.tree.map(lambda t, g: t + self.policy_lr * g, theta, clamped)
