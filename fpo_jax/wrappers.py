"""Games that wrap another game and change one thing.

Every method of the contract is forwarded by name, so that a type checker and a reader can follow. A wrapper
changes all of `respond`, `sample`, `deployed` and `compare` together, or none of them.
"""

from abc import abstractmethod
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from fpo_jax.hyperparameters import choice, count, real
from fpo_jax.numerics.keys import named_key
from fpo_jax.types import Game, Key, Phi, Response, Responses, Scalar, Theta


@struct.dataclass
class Wrapper(Game):
    """A wrapper that forwards everything except how the policy responds."""

    game: Game

    def init(self, key: Key) -> tuple[Theta, Phi]:
        """Return the game's own θ₀ and φ₀."""
        return self.game.init(key)

    def reward(self, phi: Phi, y: Response) -> Scalar:
        """Return r_φ(y)."""
        return self.game.reward(phi, y)

    def utility(self, y: Response) -> Scalar:
        """Return U(y)."""
        return self.game.utility(y)

    def cost(self, theta: Theta, responses: Responses) -> Scalar:
        """Return the policy's cost."""
        return self.game.cost(theta, responses)

    def blind_spot(self, y: Response) -> Scalar:
        """Return how far y lies in the blind spot."""
        return self.game.blind_spot(y)

    def optimum(self) -> Scalar:
        """Return the game's own optimum."""
        return self.game.optimum()

    def offline(self) -> Responses | None:
        """Return the game's offline data."""
        return self.game.offline()

    def reference(self) -> Responses | None:
        """Return the game's reference policy."""
        return self.game.reference()

    def comparisons(self) -> Responses | None:
        """Return the game's recorded comparisons."""
        return self.game.comparisons()

    def diagnostics(self, theta: Theta) -> dict[str, Scalar]:
        """Return the game's own diagnostics."""
        return self.game.diagnostics(theta)

    def at(self, progress: Scalar | float) -> Game:
        """Return this wrapper around the game at this progress."""
        return self.replace(game=self.game.at(progress))  # type: ignore[attr-defined]

    def reward_and_norm(self, phi: Phi, y: Response) -> tuple[Scalar, Scalar]:
        """Return r_φ(y) and ‖∇_φ r_φ(y)‖²."""
        return self.game.reward_and_norm(phi, y)

    def gradient_features(self, phi: Phi, y: Response) -> Float[Array, " d"]:
        """Return g(y)."""
        return self.game.gradient_features(phi, y)

    def tangent_kernel(self, phi: Phi, y: Response, other: Response) -> Scalar:
        """Return ⟨∇_φ r_φ(y), ∇_φ r_φ(y')⟩."""
        return self.game.tangent_kernel(phi, y, other)

    def luck(self, y: Response) -> tuple[Scalar, Scalar]:
        """Return the luck of an imperfect oracle at y."""
        return self.game.luck(y)

    @property
    def prompts(self) -> int:
        """Return the number of prompts."""
        return self.game.prompts

    @property
    def places(self) -> dict[str, int] | None:
        """Return the axes along which responses lie."""
        return self.game.places


@struct.dataclass
class OtherPolicy(Wrapper):
    """The same responses and rewards under another policy; a subclass defines `respond`.

    Samples, deployment and comparisons are the defaults of `Game`, which use `respond`.
    """

    @abstractmethod
    def respond(self, theta: Theta, key: Key) -> Responses:
        """Return the other policy as a weighted sample."""
        ...


@struct.dataclass
class Reweighted(OtherPolicy):
    """The same responses with other weights, in everything the policy does."""

    @abstractmethod
    def weights(self, w: Array) -> Array:
        """Return the other weights."""
        ...

    def respond(self, theta: Theta, key: Key) -> Responses:
        """Return the game's responses with the other weights."""
        responses = self.game.respond(theta, key)
        return responses._replace(w=self.weights(responses.w))


@struct.dataclass
class SamePolicy(Wrapper):
    """The same policy in everything it does; a subclass changes rewards or utilities of its responses."""

    def respond(self, theta: Theta, key: Key) -> Responses:
        """Return the game's own responses."""
        return self.game.respond(theta, key)

    def sample(self, theta: Theta, key: Key, number: int) -> Responses:
        """Return the game's own samples."""
        return self.game.sample(theta, key, number)

    def deployed(self, theta: Theta, key: Key) -> Responses:
        """Return the game's own policy as it is deployed."""
        return self.game.deployed(theta, key)

    def compare(self, theta: Theta, responses: Responses, opponent: str, key: Key) -> Responses:
        """Return the game's own pairs."""
        return self.game.compare(theta, responses, opponent, key)


@struct.dataclass
class DetachedUtility(SamePolicy):
    """The same game, except that ∂U/∂y = 0: utility is a label whose gradient nobody knows."""

    def utility(self, y: Response) -> Scalar:
        """Return U(y), detached."""
        return jax.lax.stop_gradient(self.game.utility(y))


def as_known(game: Game, utility: str) -> Game:
    """Return the game as the leader knows it: with ∂U/∂y if `utility` is "differentiated", else without."""
    return game if utility == "differentiated" else DetachedUtility(game=game)


COMBINED = ("mean", "worst", "uncertainty", "weights")
"""How the rewards of several members are combined."""


@struct.dataclass
class Ensembled(SamePolicy):
    """The same game with a reward model of several members: φ has a leading axis [members] (ours).

    Its reward combines those of the members, r_i:

        mean          mean r_i
        worst         min r_i                                   (Coste et al., arXiv 2310.02743)
        uncertainty   mean r_i − disagreement · Var_i r_i       (the same)
        weights       r at the mean of their parameters         (WARM, arXiv 2401.12187)

    The variance divides by the number of members. Nothing is detached; members that tie for the worst share
    the gradient. Norms and inner products of gradients are those of the combined reward, with respect to the
    parameters of all members.
    """

    members: int = count(4, "number of reward models", low=2)
    combine: str = choice("mean", "how their rewards are combined", COMBINED)
    disagreement: float = real(1.0, "price of their variance", low=0.0)
    differ: str = choice("data", "what they differ in", ("data", "start"))

    def init(self, key: Key) -> tuple[Theta, Phi]:
        """Return θ₀, and φ₀ of every member: the same for all, or drawn anew for each."""
        theta, phi = self.game.init(key)
        if self.differ == "data":
            return theta, jax.tree.map(lambda leaf: jnp.stack([leaf] * self.members), phi)
        keys = jax.random.split(named_key(key, "members"), self.members)
        return theta, jax.vmap(lambda own: self.game.init(own)[1])(keys)

    def combined(self, combine: str, disagreement: float | Scalar) -> "Ensembled":
        """Return the same members with their rewards combined in another way."""
        return self.replace(combine=combine, disagreement=disagreement)  # type: ignore[attr-defined]

    def members_rewards(self, phi: Phi, y: Response) -> Float[Array, " members"]:
        """Return r_i(y) of every member."""
        return jax.vmap(lambda own: self.game.reward(own, y))(phi)

    def reward(self, phi: Phi, y: Response) -> Scalar:
        """Return the combined reward of the members."""
        if self.combine == "weights":
            return self.game.reward(jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), phi), y)
        rewards = self.members_rewards(phi, y)
        if self.combine == "worst":
            return jnp.min(rewards)
        if self.combine == "uncertainty":
            return jnp.mean(rewards) - self.disagreement * jnp.var(rewards)
        return jnp.mean(rewards)

    reward_and_norm = Game.reward_and_norm
    gradient_features = Game.gradient_features
    tangent_kernel = Game.tangent_kernel


def ensembled(game: Game) -> Ensembled | None:
    """Return the ensemble's game inside this one, however many wrappers surround it, or None."""
    while isinstance(game, Wrapper) and not isinstance(game, Ensembled):
        game = game.game
    return game if isinstance(game, Ensembled) else None


def with_ensembled(game: Game, change: Callable[[Ensembled], Game]) -> Game:
    """Return the game with its inner ensemble's game replaced, or the game itself if it has none."""
    if isinstance(game, Ensembled):
        return change(game)
    if not isinstance(game, Wrapper):
        return game
    return game.replace(game=with_ensembled(game.game, change))  # type: ignore[attr-defined]
