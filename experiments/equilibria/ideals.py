"""Two ideals to compare equilibria with: the best policy and the performatively optimal equilibrium."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.flatten_util import ravel_pytree

from fpo_jax.equilibria import players_of, responses_of
from fpo_jax.feedback import Labels
from fpo_jax.field import Players, answer
from fpo_jax.hyperparameters import part, real
from fpo_jax.leader import Leader
from fpo_jax.objectives import Limit, Myopic
from fpo_jax.stationary import NoEquilibrium, Search, find
from fpo_jax.types import Feedback, Follower, Game, Key, Phi, Response, RewardModel, Scalar, Theta
from fpo_jax.wrappers import SamePolicy

TOLERANCE = 1e-9


@struct.dataclass
class PerfectlyRewarded(SamePolicy):
    """The same game with a perfect reward model, r = U, so that a leader ascends E[U] − cost (ours)."""

    def reward(self, phi: Phi, y: Response) -> Scalar:
        """Return U(y)."""
        return self.game.utility(y)


@struct.dataclass
class Untrained(Follower):
    """A follower that never trains the reward model."""

    alpha: float = real(0.0, "share of on-policy data, which has no effect here", low=0.0, high=1.0)
    feedback: Feedback = part(Labels())

    def init(self, game: Game, theta: Theta, phi: Phi, key: Key) -> RewardModel:
        """Return φ₀."""
        return RewardModel(phi)

    def update(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return the reward model unchanged."""
        return reward_model

    def limit(self, game: Game, theta: Theta, reward_model: RewardModel, key: Key) -> RewardModel:
        """Return the reward model unchanged."""
        return reward_model

    def calibrated_weight(self, horizon: int) -> None:
        """Return None: no penalty weight matches a follower that never moves."""
        return None


def best_policy(game: Game, theta: Theta, key: Key) -> Theta | None:
    """Return the end of the ascent of E[U] − cost from θ, or None if the search reaches none."""
    rewarded = PerfectlyRewarded(game=game)
    return _rest(players_of(rewarded, Leader(Myopic()), Untrained(), theta, key), theta)


def optimal_policy(game: Game, follower: Follower, starts: Sequence[Theta], key: Key) -> Theta | None:
    """Return the performatively optimal equilibrium: among those the starts lead to, the one of highest F.

    F(θ) = J(θ, φ*(θ)), where φ* is the follower's limit. This is the exact objective at an infinite horizon.
    The result is None if no start leads to an equilibrium.
    """
    players = players_of(game, Leader(Limit()), follower, starts[0], key)
    found = [theta for start in starts if (theta := _rest(players, start)) is not None]
    return max(found, key=lambda theta: float(_foresighted(players, theta)), default=None)


@jax.jit
def _foresighted(players: Players, theta: Theta) -> Scalar:
    game, leader, follower, _, key, _ = players
    return leader.objective.value(game, follower, theta, answer(players, theta), key)


def _rest(players: Players, theta: Theta) -> Theta | None:
    search = Search(players, jax.tree.map(jnp.asarray, theta))
    try:
        return search.as_theta(find(search, TOLERANCE)[0].theta)
    except NoEquilibrium:
        return None


def distance(game: Game, one: Theta | None, other: Theta | None, key: Key) -> float:
    """Return the distance of two policies.

    It is ½ Σ_y |w(y) − w'(y)|, their total variation, in [0, 1]; for actions |θ − θ'|; NaN if one is None.
    """
    if one is None or other is None:
        return float("nan")
    if game.places is None:
        return float(np.linalg.norm(ravel_pytree(one)[0] - ravel_pytree(other)[0]))
    weights = [np.asarray(responses_of(game, theta, key).w) for theta in (one, other)]
    return float(0.5 * np.sum(np.abs(weights[0] - weights[1])))
