"""The game: an environment as the leader and the follower see it."""

from __future__ import annotations

from abc import ABC, abstractmethod

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from fpo_jax.data import Key, Phi, Response, Scalar, Theta
from fpo_jax.errors import InputError
from fpo_jax.responses import Responses, paired


class Game(ABC):
    """An environment as the leader and the follower see it: pure functions on one unbatched item.

    A user's game subclasses `Game` as a `flax.struct.dataclass` and gives the first seven methods; the rest
    have defaults. `fpo_jax.testing.check_game` says whether it keeps the contract. Its fields are arrays, as
    which it passes from one program to the next; a size is static, `flax.struct.field(pytree_node=False)`.
    """

    @abstractmethod
    def init(self, key: Key) -> tuple[Theta, Phi]:
        """Draw the initial policy parameters θ₀ and reward-model parameters φ₀."""
        ...

    @abstractmethod
    def respond(self, theta: Theta, key: Key) -> Responses:
        """Return the policy π_θ as a weighted sample, differentiable in θ."""
        ...

    @abstractmethod
    def reward(self, phi: Phi, y: Response) -> Scalar:
        """Return the proxy reward r_φ(y) of one response."""
        ...

    @abstractmethod
    def utility(self, y: Response) -> Scalar:
        """Return the true utility U(y) of one response."""
        ...

    @abstractmethod
    def cost(self, theta: Theta, responses: Responses) -> Scalar:
        """Return what the policy pays whatever the reward model says: action cost, KL to a reference …"""
        ...

    @abstractmethod
    def blind_spot(self, y: Response) -> Scalar:
        """Return how far, in [0, 1], one response lies in the reward model's planted blind spot."""
        ...

    @abstractmethod
    def optimum(self) -> Scalar:
        """Return max_π E_π[U], the true utility that no policy exceeds."""
        ...

    def offline(self) -> Responses | None:
        """Return the reward model's offline data, or None where the environment has none."""
        return None

    def diagnostics(self, theta: Theta) -> dict[str, Scalar]:
        """Return further scalars worth recording, by name, such as `kl`."""
        return {}

    def draw(self, key: Key) -> Game:
        """Return this game: one that is always the same is an `Environment` of one instance."""
        return self

    def at(self, progress: Scalar | float) -> Game:
        """Return this game when a share `progress`, in [0, 1], of the iterations is over: for annealing."""
        return self

    def deployed(self, theta: Theta, key: Key) -> Responses:
        """Return the responses on which π_θ is judged: those of `respond`, or π_θ without its exploration."""
        return self.respond(theta, key)

    def sample(self, theta: Theta, key: Key, number: int) -> Responses:
        """Return independent samples of π_θ, stacked: y and w have leading axes [number, n]."""
        return jax.vmap(lambda one: self.respond(theta, one))(jax.random.split(key, number))

    def reward_and_norm(self, phi: Phi, y: Response) -> tuple[Scalar, Scalar]:
        """Return r_φ(y) and ‖∇_φ r_φ(y)‖², by which a step on a response moves its own reward.

        A reward model with a shorter way to the second than the gradient gives it here.
        """
        reward, gradient = jax.value_and_grad(self.reward)(phi, y)
        return reward, jnp.asarray(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))

    def gradient_features(self, phi: Phi, y: Response) -> Float[Array, " d"]:
        """Return g(y), in whose covariance the reward model's curvature is measured: ∇_φ r_φ(y), flattened.

        A reward model of many parameters gives the gradient by those of its last layer here.
        """
        return ravel_pytree(jax.grad(self.reward)(phi, y))[0]

    def tangent_kernel(self, phi: Phi, y: Response, other: Response) -> Scalar:
        """Return ⟨∇_φ r_φ(y), ∇_φ r_φ(y')⟩, by which a step on one response moves the other's reward."""
        gradient = jax.grad(self.reward)(phi, other)
        return jax.jvp(lambda p: self.reward(p, y), (phi,), (gradient,))[1]

    @property
    def prompts(self) -> int:
        """Return the number of prompts, into as many equal consecutive blocks every sample falls."""
        return 1

    @property
    def places(self) -> dict[str, int] | None:
        """Return the axes along which responses lie in a picture, name to size: {"row": 5, "column": 5}.

        Responses that share a place stand one after the other. None, the default, says that responses have
        no fixed places, as those of a continuous or a sampled policy.
        """
        return None

    def reference(self) -> Responses | None:
        """Return the reference policy's responses, to compare others with; by default offline data."""
        return self.offline()

    def comparisons(self) -> Responses | None:
        """Return recorded preferences, as `fpo_jax.feedback.recorded` makes them, or None for a simulated
        annotator's of the offline data."""
        return None

    def compare(self, theta: Theta, responses: Responses, opponent: str, key: Key) -> Responses:
        """Return the policy's responses paired with the opponent's to the same prompts: y = (y, y').

        Args:
            theta: policy parameters.
            responses: what π_θ responded.
            opponent: `policy` for second responses of π_θ, `reference` for the reference policy's.
            key: for the opponent's responses.

        Raises:
            InputError: when there is no reference policy.
        """
        other = self.respond(theta, key) if opponent == "policy" else self.reference()
        if other is None:
            raise InputError("opponent", opponent, "policy, since this environment has no reference policy")
        return paired(responses, other, self.prompts)

    def luck(self, y: Response) -> tuple[Scalar, Scalar]:
        """Return how an imperfect oracle meets a response in this run: an error ~ N(0, 1), a rank ~ U[0, 1].

        Raises:
            InputError: by default, since most games draw neither.
        """
        raise InputError("oracle", type(self).__name__, "an environment that draws an oracle's errors")
