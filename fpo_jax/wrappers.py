"""A game with some of its methods changed, and all others its own."""

from typing import cast

import jax
from flax import struct

from fpo_jax.types import Game, Response, Scalar


@struct.dataclass
class Wrapped:
    """Passes on to `game` whatever a subclass does not define itself.

    It is a `Game` by what it does. It does not inherit from it, since inherited defaults would hide the
    game's own methods.
    """

    game: Game

    def __getattr__(self, name: str) -> object:
        if name == "game" or name.startswith("__"):  # asked for before there is a game, as by a copy
            raise AttributeError(name)
        return getattr(self.game, name)


@struct.dataclass
class _DetachedUtility(Wrapped):
    def utility(self, y: Response) -> Scalar:
        """Return U(y), detached."""
        return jax.lax.stop_gradient(self.game.utility(y))


def detach_utility(game: Game) -> Game:
    """Return the same game, except that ∂U/∂y = 0: utility is a label whose gradient nobody knows."""
    return cast(Game, _DetachedUtility(game))
