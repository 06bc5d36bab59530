"""FPO with an imperfect oracle: the range between relaxed FPO, which knows U, and practical FPO."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, PyTree

from fpo_jax.expect import expect
from fpo_jax.hyperparameters import choice, real
from fpo_jax.objectives.paid_labels import Remembering
from fpo_jax.objectives.penalties import WEIGHT_HELP, Penalised, Residual
from fpo_jax.steering import foresight_keys
from fpo_jax.types import (
    Feedback,
    Follower,
    Game,
    Influence,
    Key,
    Objective,
    Phi,
    Response,
    Responses,
    RewardModel,
    Scalar,
    State,
    Theta,
)
from fpo_jax.wrappers import SamePolicy


@struct.dataclass
class _NoisyUtility(SamePolicy):
    deviation: float | Scalar = 0.0

    def utility(self, y: Response) -> Scalar:
        """Return U(y) with the oracle's error."""
        return self.game.utility(y) + self.deviation * self.game.luck(y)[0]


@struct.dataclass
class Informed(Remembering, Penalised):
    """FPO with residuals known in part: of an oracle, or with `--source labels` of paid labels alone (ours).

    The penalty is residual · influence where the residual is known, else influence alone.
    `oracle`: the leader asks an oracle for Û = U + oracle_noise · N(0, 1). The oracle answers for a share
    `oracle_share` of the responses. The answered responses and their errors are fixed for a run
    (`Game.luck`). A residual is known if all responses of its item are. Share 1 without noise is relaxed FPO,
    share 0 is practical FPO. `labels`: there is no oracle, only the labels of the policy's items at the last
    `kept` updates. The residual of a response is their mean over the items in which it took part, of opposite
    sign where it was the other of two.
    """

    knows: ClassVar[str] = "U at will"

    weight: float = real(0.1, WEIGHT_HELP, low=0.0)
    source: str = choice("oracle", "where the leader gets the residual", ("oracle", "labels"))
    oracle_noise: float = real(0.0, "standard deviation of the oracle's error", low=0.0)
    oracle_share: float = real(1.0, "share of responses for which the oracle answers", low=0.0, high=1.0)

    @property
    def keeps(self) -> int:  # type: ignore[override]
        """Return for how many updates labels are kept; 0 with an oracle, who needs none."""
        return self.kept if self.source == "labels" else 0

    def for_iteration(self, game: Game, follower: Follower, state: State, key: Key) -> Objective:
        """Return the objective with the labels that were paid for so far."""
        return super().for_iteration(game, follower, state, key) if self.keeps else self

    def known(self, game: Game) -> Game:
        """Return the game with the oracle's utility."""
        return _NoisyUtility(game=game, deviation=self.oracle_noise) if self.source == "oracle" else game

    def residuals(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Residual:
        """Return the residual where it is known, 1 elsewhere.

        Raises:
            InputError: when the environment draws no oracle's errors, or the follower cannot tell its items.
        """
        feedback = follower.feedback
        if self.source == "labels":
            data_key = foresight_keys(key).data
            items = self.labels(game, follower, theta, reward_model, data_key).recent()
            return _labelled_residual(game, feedback, reward_model.phi, items)

        def partly_known(item: PyTree, target: Scalar, influence: Influence) -> Scalar:
            ranks = jnp.stack([game.luck(y)[1] for y in feedback.sides(item)])
            residual = feedback.score(item) * feedback.residual(influence.margin, target)
            return jnp.where(jnp.all(ranks < self.oracle_share), residual, 1.0)

        return partly_known


def _labelled_residual(game: Game, feedback: Feedback, phi: Phi, items: Responses) -> Residual:
    def residual_of(item: PyTree, target: Scalar, influence: Influence) -> Scalar:
        y = feedback.sides(item)[0]

        def evidence(past: PyTree) -> tuple[Scalar, Scalar]:
            residual = feedback.item_residual(game, phi, past)
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
