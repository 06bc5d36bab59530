"""The feedback of one member of an ensemble: the same items as the others', at weights of its own."""

import jax
from flax import struct
from jaxtyping import Array, Int, UInt32

from fpo_jax.expect import annotated
from fpo_jax.feedback import OtherFeedback
from fpo_jax.numerics.keys import named_key
from fpo_jax.types import Game, Key, Responses, Theta


@struct.dataclass
class Resampled(OtherFeedback):
    """A member's feedback: every item weighs as much more or less as a draw of Exp(1) says (ours).

    A Bayesian bootstrap, whose weights are not brought to sum to 1 again: their mean is 1. An item of the
    offline data has the same multiplier at every update. So has an item of a game of fixed responses, that of
    the offline data if there are as many; elsewhere each update draws anew.

    Attributes:
        feedback: what all members share; it says which items are annotated.
        key: of the ensemble, as numbers; fixed for a run.
        member: number of the member.
    """

    key: UInt32[Array, " words"]
    member: Int[Array, ""]

    def multipliers(self, w: Array, key: Key | None = None) -> Array:
        """Return this member's multipliers of so many items, by a key or by the one that is kept."""
        shared = jax.random.wrap_key_data(self.key) if key is None else key
        own = jax.random.fold_in(named_key(shared, "multipliers"), self.member)
        return jax.random.exponential(own, w.shape, w.dtype)

    def gather(self, game: Game, theta: Theta, responses: Responses, key: Key) -> Responses:
        """Return what is annotated, the same items for every member, at this member's weights."""
        items = self.feedback.gather(game, theta, responses, key)
        factors = self.multipliers(items.w, key if game.places is None else None)
        (y, factors), w = annotated(Responses((items.y, factors), items.w), self.feedback, key)
        return Responses(y, w * factors)

    def offline(self, game: Game, key: Key) -> Responses | None:
        """Return the items of the offline data at this member's weights."""
        items = self.feedback.offline(game, key)
        return None if items is None else items._replace(w=items.w * self.multipliers(items.w))
