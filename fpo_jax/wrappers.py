"""Games that are another game with one thing changed.

Every method of the contract is passed on by name, so that a type checker and a reader can follow. How π_θ
responds, and all that follows from it (`sample`, `deployed`, `compare`), is changed together or not at all.
"""

from abc import abstractmethod

import jax
from flax import struct
from jaxtyping import Array, Float

from fpo_jax.types import Game, Key, Phi, Response, Responses, Scalar, Theta


@struct.dataclass
class Wrapper(Game):
    """A game behind another one: all of it but how the policy responds."""

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
        """Return what the policy pays."""
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
        """Return the same change of the game at this progress."""
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
        """Return how an imperfect oracle meets y."""
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
    """The same responses and rewards under another policy: a subclass says how it responds.

    Samples, deployment and comparisons are those of `Game` itself, which are made of `respond`.
    """

    @abstractmethod
    def respond(self, theta: Theta, key: Key) -> Responses:
        """Return the other policy as a weighted sample."""
        ...


@struct.dataclass
class Reweighted(OtherPolicy):
    """The same responses at other weights, in all that the policy does."""

    @abstractmethod
    def weights(self, w: Array) -> Array:
        """Return the other weights."""
        ...

    def respond(self, theta: Theta, key: Key) -> Responses:
        """Return the game's responses at the other weights."""
        responses = self.game.respond(theta, key)
        return responses._replace(w=self.weights(responses.w))


@struct.dataclass
class SamePolicy(Wrapper):
    """The same policy, in all that it does: a subclass changes what is known of its responses."""

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
    """Return the game as a leader knows it that uses U so: with ∂U/∂y if "differentiated", else without."""
    return game if utility == "differentiated" else DetachedUtility(game=game)
