"""FPO with an imperfect oracle: the range between relaxed FPO, which knows U, and practical FPO."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, PyTree

from fpo_jax.errors import InputError
from fpo_jax.expect import expect
from fpo_jax.hyperparameters import choice, kebab, real
from fpo_jax.objectives.penalties import WEIGHT_HELP, Penalised, Residual
from fpo_jax.types import Follower, Game, Influence, Response, RewardModel, Scalar
from fpo_jax.wrappers import SamePolicy


@struct.dataclass
class _NoisyUtility(SamePolicy):
    deviation: float | Scalar = 0.0

    def utility(self, y: Response) -> Scalar:
        """Return U(y) with the oracle's error."""
        return self.game.utility(y) + self.deviation * self.game.luck(y)[0]


@struct.dataclass
class Informed(Penalised):
    """FPO whose penalty is residual · influence where the residual is known, else influence alone (ours).

    `oracle`: the leader asks an oracle for Û = U + oracle_noise · N(0, 1). The oracle answers for a share
    `oracle_share` of the responses. The answered responses and their errors are fixed for a run
    (`Game.luck`). A residual is known if all responses of its item are. Share 1 without noise is relaxed FPO,
    share 0 is practical FPO. `buffer`: there is no oracle, only the items that the follower remembers. The
    residual of a response is the mean over those of its items, with the opposite sign where it was the second
    of a pair.
    """

    knows: ClassVar[str] = "U at will"

    weight: float = real(0.1, WEIGHT_HELP, low=0.0)
    source: str = choice("oracle", "where the leader gets the residual", ("oracle", "buffer"))
    oracle_noise: float = real(0.0, "standard deviation of the oracle's error", low=0.0)
    oracle_share: float = real(1.0, "share of responses for which the oracle answers", low=0.0, high=1.0)

    def known(self, game: Game) -> Game:
        """Return the game with the oracle's utility."""
        return _NoisyUtility(game=game, deviation=self.oracle_noise) if self.source == "oracle" else game

    def residuals(self, game: Game, follower: Follower, reward_model: RewardModel) -> Residual:
        """Return the residual where it is known, 1 elsewhere.

        Raises:
            InputError: when the environment draws no oracle's errors, or the follower remembers nothing.
        """
        feedback = follower.feedback
        if self.source == "buffer":
            return _remembered_residual(game, follower, reward_model)

        def partly_known(item: PyTree, target: Scalar, influence: Influence) -> Scalar:
            ranks = jnp.stack([game.luck(y)[1] for y in feedback.sides(item)])
            residual = feedback.score(item) * feedback.residual(influence.margin, target)
            return jnp.where(jnp.all(ranks < self.oracle_share), residual, 1.0)

        return partly_known


def _remembered_residual(game: Game, follower: Follower, reward_model: RewardModel) -> Residual:
    feedback, items = follower.feedback, follower.remembered(reward_model)
    if items is None:
        name = kebab(type(follower).__name__)
        raise InputError("follower", name, "one that remembers its data, such as optax, for source = buffer")

    def residual_of(item: PyTree, target: Scalar, influence: Influence) -> Scalar:
        y = feedback.sides(item)[0]

        def evidence(past: PyTree) -> tuple[Scalar, Scalar]:
            margin = feedback.margin(game, reward_model.phi, past)
            residual = feedback.residual(margin, feedback.target(game, past))
            took_part = jnp.stack([_same(y, side) for side in feedback.sides(past)]).astype(residual.dtype)
            signs = jnp.array([1.0, -1.0], residual.dtype)[: took_part.size]
            return residual * jnp.sum(signs * took_part), jnp.sum(took_part)

        total, times = expect(evidence, items)
        return jnp.where(times > 0, total / jnp.where(times > 0, times, 1.0), 1.0)

    return residual_of


def _same(y: Response, other: Response) -> Array:
    return jnp.all(
        jnp.stack([jnp.all(a == b) for a, b in zip(jax.tree.leaves(y), jax.tree.leaves(other), strict=True)])
    )
