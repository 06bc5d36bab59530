"""A stationary point of the loss minus the reward that the best policy would earn."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree
from jax.scipy.special import logsumexp

from fpo_jax.errors import NotDefined
from fpo_jax.followers.best_response import Converged
from fpo_jax.hyperparameters import real
from fpo_jax.types import Game, Key, RewardModel, Theta


@struct.dataclass
class OptimisticFit(Converged):
    """A stationary point of L(θ, φ) − optimism · max_π J, as XPO, SELM and VPO have it (VPO, 2405.19320).

    The maximum is a smooth one over the responses to each prompt, all equally weighted:

        Σ_x ρ(x) τ log mean_y exp(r_φ(x, y) / τ),    τ = softness,

    the best that a policy can earn when it pays τ for its divergence from the uniform one. In a process,
    whose responses are pairs of state and action, it bounds what a policy can reach. It is convex in φ, so
    the loss minus it may not be. φ⁺ is NaN where the loss has no minimum nearby (`Converged`), for instance
    where optimism is large compared with the ridge. ρ(x) is held fixed.
    """

    by_items = False

    optimism: float = real(0.001, "α, weight of max J in the loss", low=0.0)
    softness: float = real(0.1, "temperature τ of the maximum", low=0.0, open=True)

    def loss(
        self, game: Game, theta: Theta, reward_model: RewardModel, key: Key
    ) -> Callable[[jax.Array], jax.Array]:
        """Return the loss minus the bonus, as a function of the flattened φ.

        Raises:
            InputError: when the responses change from call to call.
        """
        if game.places is None:
            allowed = "another one: this environment has no fixed responses to take the best of"
            raise NotDefined("follower", "optimistic-fit", allowed)
        fit = Converged.loss(self, game, theta, reward_model, key)
        responses = jax.lax.stop_gradient(game.respond(theta, key))
        prompts = jnp.sum(responses.w.reshape(game.prompts, -1), axis=1)
        _, unravel = ravel_pytree(reward_model.phi)

        def loss(phi: jax.Array) -> jax.Array:
            rewards = jax.vmap(lambda y: game.reward(unravel(phi), y))(responses.y)
            scaled = rewards.reshape(game.prompts, -1) / jnp.asarray(self.softness, rewards.dtype)
            best = self.softness * (logsumexp(scaled, axis=1) - jnp.log(scaled.shape[1]))
            return fit(phi) - self.optimism * jnp.vdot(prompts, best, precision="highest")

        return loss
