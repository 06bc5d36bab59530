"""Policies that answer with one of several candidates, and leaders that imitate them, as LLM pipelines do.

In a finite environment the winner's distribution is exact (`fpo_jax.responses.best_of`, `accepted`) and
differentiable in θ, so its steering term is computed like any other.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import choice, count, real
from fpo_jax.objectives.effective_reward import effective_rewards
from fpo_jax.objectives.exact import Exact
from fpo_jax.objectives.myopic import Myopic
from fpo_jax.objectives.penalties import Practical, Proximal, Relaxed
from fpo_jax.responses import accepted, best_of, log_weights
from fpo_jax.steering import foresight_keys
from fpo_jax.types import Follower, Game, Key, Objective, Phi, RewardModel, Scalar, Theta
from fpo_jax.wrappers import Reweighted


@struct.dataclass
class Selected(Reweighted):
    """The game in which the policy answers with the best of n candidates from π_θ, at given scores (ours).

    Attributes:
        game: a finite game, whose policy weights all responses.
        scores: [n] of every response; held fixed, as if the reward model were not retrained.
        candidates: n >= 1.

    `fpo_jax.steering.steering` on it is the steering term of best-of-n.
    """

    scores: Float[Array, " n"]
    candidates: int = count(4, "candidates")

    def weights(self, w: Array) -> Array:
        """Return the winner's distribution."""
        return best_of(w, self.scores, self.candidates, self.game.prompts)


def reward_scores(game: Game, theta: Theta, phi: Phi, key: Key) -> Float[Array, " n"]:
    """Return r_φ(y) of every response of a finite game."""
    return jax.vmap(lambda y: game.reward(phi, y))(game.respond(theta, key).y)


SCORES: dict[str, Callable[[Any], Objective]] = {
    "reward": lambda weight: Myopic(),
    "exact": lambda weight: Exact(),
    "relaxed": lambda weight: Relaxed(weight=weight),
    "practical": lambda weight: Practical(weight=weight),
    "proximal": lambda weight: Proximal(weight=weight),
}
"""Effective rewards of these objectives can rank the candidates."""


@struct.dataclass
class BestOf(Objective):
    """A likelihood step on the winner among n candidates of π_θ: E_{y~q}[log π_θ(y)] − cost(θ), q held fixed.

    q is the exact distribution of the winner by effective reward: the best of n, or the one that rejection
    sampling accepts with probability exp(sharpness · (r̃ − max r̃)). The code uses log w for log π_θ(y); the
    difference does not depend on θ (ours, after best-of-n fine-tuning).
    """

    knows: ClassVar[str] = "as its score"

    candidates: int = count(4, "number of candidates")
    selection: str = choice("best", "pick the best candidate, or the first accepted", ("best", "rejection"))
    sharpness: float = real(10.0, "rejection: acceptance is exp(sharpness · (r̃ − max r̃))", low=0.0)
    score: str = choice("reward", "effective reward that ranks the candidates", tuple(SCORES))
    weight: float = real(0.1, "weight of the penalty in the score, if it has one", low=0.0)

    def value(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Scalar:
        """Return E_q[log w] − cost(θ).

        Raises:
            InputError: when the policy is a single response, so that there is no choice.
        """
        responses = game.respond(theta, foresight_keys(key).evaluation)
        if responses.w.size == 1:
            raise InputError("objective", "best-of", "another one: this policy is a single response")
        scorer = SCORES[self.score](self.weight)
        scores = effective_rewards(scorer, game, follower, theta, reward_model, key)
        arguments = (responses.w, scores, self.candidates)
        if self.selection == "best":
            winner = best_of(*arguments, prompts=game.prompts)
        else:
            winner = accepted(*arguments, self.sharpness, prompts=game.prompts)
        logs = log_weights(responses.w)
        likelihood = jnp.sum(jax.lax.stop_gradient(winner) * jnp.where(jnp.isfinite(logs), logs, 0.0))
        return likelihood - game.cost(theta, responses)
