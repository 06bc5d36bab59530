"""The feedback of one member of an ensemble: the same items as the others', with its own weights."""

import jax
from flax import struct
from jaxtyping import Array, Int, UInt32

from fpo_jax.expect import annotated
from fpo_jax.feedback import OtherFeedback
from fpo_jax.numerics.keys import named_key
from fpo_jax.types import Game, Key, Responses, Theta


@struct.dataclass
class Resampled(OtherFeedback):
    """A member's feedback: the weight of every item is multiplied by a draw from Exp(1) (ours).

    A Bayesian bootstrap without renormalised weights: the multipliers have mean 1. An item of the offline
    data has the same multiplier at every update. So has an item of a game with fixed responses, and the
    multiplier is that of the offline data if there are as many items. Otherwise each update draws anew.

    Attributes:
        feedback: shared by all members; it says which items are annotated.
        key: of the ensemble, as numbers; fixed for a run.
        member: number of the member.
    """

    key: UInt32[Array, " words"]
    member: Int[Array, ""]

    def multipliers(self, w: Array, key: Key | None = None) -> Array:
        """Return this member's multipliers for this many items, from a given key or the stored one."""
        shared = jax.random.wrap_key_data(self.key) if key is None else key
        own = jax.random.fold_in(named_key(shared, "multipliers"), self.member)
        return jax.random.exponential(own, w.shape, w.dtype)

    def gather(self, game: Game, theta: Theta, responses: Responses, key: Key) -> Responses:
        """Return the annotated items, the same for every member, with this member's weights."""
        items = self.feedback.gather(game, theta, responses, key)
        factors = self.multipliers(items.w, key if game.places is None else None)
        (y, factors), w = annotated(Responses((items.y, factors), items.w), self.feedback, key)
        return Responses(y, w * factors)

    def offline(self, game: Game, key: Key) -> Responses | None:
        """Return the items of the offline data with this member's weights."""
        items = self.feedback.offline(game, key)
        return None if items is None else items._replace(w=items.w * self.multipliers(items.w))
