"""Episodes of a tabular process: step through it with any RL code, or estimate its gradients from samples.

`reset` and `step` have the signatures of gymnax and sample from the same tables as the exact occupancy.
`Trajectories` is the same process with a policy that is only sampled. Its responses are the pairs that
trajectories visit. The weights average over these pairs, and their gradients are score functions:

    w_it = γᵗ / (n Σ_u γᵘ) · exp(C_it − stop_gradient(C_it)),   C_it = Σ_{u≤t} log π_θ(a_iu | s_iu)

The code that computes expectations, φ⁺(θ), F and both parts of dF/dθ exactly therefore also estimates them
from samples (the weights are those of DiCE, Foerster et al. 2018; their use for steering is ours).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from fpo_jax.envs.parts.tabular import Pair, TabularGame, Theta, log_ratio
from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import count
from fpo_jax.types import Game, Key, Responses, Scalar

Index = Int[Array, ""]


class EpisodeState(NamedTuple):
    """Where an episode is: the state of the process, and how many steps were taken."""

    position: Index
    time: Index


def reset(key: Key, params: TabularGame) -> tuple[Index, EpisodeState]:
    """Begin an episode: s₀ ~ ρ.

    Returns:
        The observation, which is the index of the state, and the state of the episode.
    """
    position = jax.random.choice(key, params.start.size, p=params.start)
    return position, EpisodeState(position, jnp.zeros_like(position))


def step(
    key: Key, state: EpisodeState, action: Index, params: TabularGame
) -> tuple[Index, EpisodeState, Scalar, Bool[Array, ""], dict[str, Array]]:
    """Take one step: s' ~ P(· | s, a), with reward U(s, a), the true utility.

    Args:
        key: source of randomness.
        state: as returned by `reset` or `step`.
        action: index in [0, A); not checked, since it may be traced.
        params: the process; `params.discount` is for the learner to apply, also given as `info["discount"]`.

    Returns:
        Observation, state, reward, done, info. An episode is done after `params.episode_length` steps, never
        if that is 0; it then begins anew. `info` has the pair's `features`, from which the proxy reward is
        φ·ψ, its `planted`, and the `discount`, 0 where the episode is done.
    """
    step_key, reset_key = jax.random.split(key)
    pair = jax.tree.map(lambda table: table[state.position, action], params.pairs)
    moved = EpisodeState(params.transitions.successor(step_key, state.position, action), state.time + 1)
    done = moved.time == params.episode_length  # never at length 0, since time is then at least 1
    _, fresh = reset(reset_key, params)
    after = jax.tree.map(lambda a, b: jnp.where(done, a, b), fresh, moved)
    discount = jnp.where(done, 0.0, params.discount)
    info = {"features": pair.features, "planted": pair.planted, "discount": discount}
    return after.position, after, pair.utility, done, info


@struct.dataclass
class Trajectories(Game):
    """A tabular process whose policy is sampled: responses are the pairs that n trajectories visit.

    A response is the index s·A + a of a pair. Expectations are unbiased for an episode of `steps` steps, and
    so are their gradients. A quantity that is not linear in an expectation, such as a best response and hence
    steering, has the plug-in estimate's bias of order 1/n. The gradients are score functions, so automatic
    differentiation gives them and finite differences do not.

    Attributes:
        process: the exact process.
        trajectories: their number n.
        steps: steps of each. For an episode without end, the first steps stand for all, with an error of
            order γ^steps.
    """

    process: TabularGame
    trajectories: int = count(1000, "number of sampled trajectories")
    steps: int = count(100, "steps of each trajectory")

    def check(self) -> None:
        """Raise an InputError unless `process` is a tabular process whose episodes have this length."""
        self.process.check()
        if self.process.episode_length not in (0, self.steps):
            allowed = f"{self.process.episode_length}, the episode_length of the process"
            raise InputError("steps", self.steps, allowed)

    def init(self, key: Key) -> tuple[Theta, Float[Array, " features"]]:
        """Return the initial parameters of the process."""
        return self.process.init(key)

    def respond(self, theta: Theta, key: Key) -> Responses:
        """Return the pairs that n fresh trajectories of π_θ visit."""
        log_policy = jax.nn.log_softmax(theta, axis=1)

        def one(trajectory_key: Key) -> tuple[Array, Array]:
            start_key, steps_key = jax.random.split(trajectory_key)

            def move(state: EpisodeState, move_key: Key) -> tuple[EpisodeState, tuple[Array, Array]]:
                action_key, step_key = jax.random.split(move_key)
                action = jax.random.categorical(action_key, log_policy[state.position])
                after = step(step_key, state, action, self.process)[1]
                return after, (state.position, action)

            _, visited = jax.lax.scan(
                move, reset(start_key, self.process)[1], jax.random.split(steps_key, self.steps)
            )
            return visited

        states, actions = jax.vmap(one)(jax.random.split(key, self.trajectories))
        log_probability = jnp.cumsum(log_policy[states, actions], axis=1)
        score = jnp.exp(log_probability - jax.lax.stop_gradient(log_probability))  # 1, with ∇ log as gradient
        discounts = self.process.discount ** jnp.arange(self.steps, dtype=score.dtype)
        weights = discounts[None] / (self.trajectories * jnp.sum(discounts)) * score
        return Responses((states * theta.shape[1] + actions).ravel(), weights.ravel())

    def reward(self, phi: Float[Array, " features"], y: Index) -> Scalar:
        """Return φ·ψ(s, a)."""
        return self.process.reward(phi, self._pair(y))

    def utility(self, y: Index) -> Scalar:
        """Return U(s, a)."""
        return self._pair(y).utility

    def cost(self, theta: Theta, responses: Responses) -> Scalar:
        """Return τ · E[log π_θ(a | s) + log A]."""
        return self.process.temperature * jnp.sum(responses.w * log_ratio(theta).ravel()[responses.y])

    def blind_spot(self, y: Index) -> Scalar:
        """Return how far the pair lies in the blind spot."""
        return self._pair(y).planted

    def offline(self) -> Responses:
        """Return the exact offline data."""
        return Responses(jnp.arange(self.process.covered.size), self.process.covered.ravel())

    def optimum(self) -> Scalar:
        """Return the optimum of the process."""
        return self.process.optimum()

    def _pair(self, y: Index) -> Pair:
        return jax.tree.map(lambda table: table.reshape(-1, *table.shape[2:])[y], self.process.pairs)
