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

    A user's game subclasses `Game` as a `flax.struct.dataclass` and defines the first seven methods; the rest
    have defaults. `fpo_jax.testing.check_game` checks that it keeps the contract. Its fields are arrays,
    which pass from one program to the next; a size is static, `flax.struct.field(pytree_node=False)`.
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
        """Return the policy's cost, independent of the reward model: action cost, KL to a reference …"""
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
        """Return more scalars to record, by name, such as `kl`."""
        return {}

    def draw(self, key: Key) -> Game:
        """Return this game: a game that never varies is an `Environment` with one instance."""
        return self

    def at(self, progress: Scalar | float) -> Game:
        """Return this game after a share `progress`, in [0, 1], of the iterations: for annealing."""
        return self

    def deployed(self, theta: Theta, key: Key) -> Responses:
        """Return the responses by which π_θ is judged: those of `respond`, or π_θ without its exploration."""
        return self.respond(theta, key)

    def sample(self, theta: Theta, key: Key, number: int) -> Responses:
        """Return independent samples of π_θ, stacked: y and w have leading axes [number, n]."""
        return jax.vmap(lambda one: self.respond(theta, one))(jax.random.split(key, number))

    def reward_and_norm(self, phi: Phi, y: Response) -> tuple[Scalar, Scalar]:
        """Return r_φ(y) and ‖∇_φ r_φ(y)‖², how far a step on a response moves its own reward.

        Override it if your reward model has a cheaper way to the norm than through the gradient.
        """
        reward, gradient = jax.value_and_grad(self.reward)(phi, y)
        return reward, jnp.asarray(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))

    def gradient_features(self, phi: Phi, y: Response) -> Float[Array, " d"]:
        """Return g(y), the features whose covariance is the reward model's curvature: ∇_φ r_φ(y), flattened.

        A reward model with many parameters may return the gradient of its last layer only.
        """
        return ravel_pytree(jax.grad(self.reward)(phi, y))[0]

    def tangent_kernel(self, phi: Phi, y: Response, other: Response) -> Scalar:
        """Return ⟨∇_φ r_φ(y), ∇_φ r_φ(y')⟩, how far a step on one response moves the other's reward."""
        gradient = jax.grad(self.reward)(phi, other)
        return jax.jvp(lambda p: self.reward(p, y), (phi,), (gradient,))[1]

    @property
    def prompts(self) -> int:
        """Return the number of prompts; every sample has a consecutive block of equal size for each."""
        return 1

    @property
    def places(self) -> dict[str, int] | None:
        """Return the axes on which to draw responses, name to size: {"row": 5, "column": 5}.

        Responses at the same place are consecutive. None, the default, means that responses have no fixed
        places, as in a continuous or a sampled policy.
        """
        return None

    def reference(self) -> Responses | None:
        """Return the responses of the reference policy for comparisons; by default the offline data."""
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
        """Return the luck of an imperfect oracle at a response in this run: error ~ N(0, 1), rank ~ U[0, 1].

        Raises:
            InputError: by default, because most games draw neither.
        """
        raise InputError("oracle", type(self).__name__, "an environment that draws an oracle's errors")
