"""The gradient of F from sampled responses, by their score functions."""

import jax
from flax import struct

from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import count, kebab
from fpo_jax.objectives.directed import Directed
from fpo_jax.responses import drawn
from fpo_jax.steering import foresight_keys, foresighted_value
from fpo_jax.types import Cost, Estimate, Follower, Game, Key, Responses, RewardModel, Scalar, Theta
from fpo_jax.wrappers import OtherPolicy


@struct.dataclass
class _Sampled(OtherPolicy):
    samples: int = struct.field(pytree_node=False)

    def respond(self, theta: Theta, key: Key) -> Responses:
        """Return responses drawn by their weights; they keep the weights' score as their gradient."""
        sample_key, own_key = jax.random.split(key)
        return drawn(self.game.respond(theta, own_key), self.samples, sample_key)

    def compare(self, theta: Theta, responses: Responses, opponent: str, key: Key) -> Responses:
        """Return pairs drawn by their weights, since two samples need not meet at one prompt."""
        sample_key, first_key, own_key = jax.random.split(key, 3)
        every = self.game.compare(theta, self.game.respond(theta, first_key), opponent, own_key)
        return drawn(every, self.samples, sample_key)


@struct.dataclass
class ScoreFunction(Directed):
    """dF/dθ from responses sampled by their weights, by their score functions ∇_θ log w.

    The leader's evaluation and the follower's data are separate samples. Since φ⁺ is not linear in the
    sample, there is a bias of order 1/samples.
    """

    samples: int = count(1000, "responses drawn for the evaluation, and as many for the follower's data")
    horizon: int = count(1, "updates of the follower that the leader foresees")

    def estimate(
        self, game: Game, follower: Follower, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Estimate:
        """Return the gradient of F on the samples.

        Raises:
            InputError: when the policy is one response, whose weight is 1 and has no score.
        """
        if jax.eval_shape(game.respond, theta, foresight_keys(key).evaluation).w.size == 1:
            raise InputError(
                "objective", kebab(type(self).__name__), "another one: this policy is a single response"
            )
        sampled = _Sampled(game, self.samples)

        def value(t: Theta) -> Scalar:
            return foresighted_value(sampled, follower, t, reward_model, key, self.horizon)

        return Estimate(jax.grad(value)(theta), Cost())
