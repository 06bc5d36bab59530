"""Tabular Markov decision processes: a policy is the discounted occupancy of state-action pairs.

The occupancy of π_θ = softmax(θ) is one differentiable linear solve, after which every expectation,
penalty and steering term of the theory holds as it stands: responses are state-action pairs.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import lineax as lx
from flax import struct
from jaxtyping import Array, Float

from fpo_jax.types import Game, Key, Responses, Scalar

Theta = Float[Array, "states actions"]


class Pair(NamedTuple):
    """One state-action pair as a response; a whole process's pairs have leading axes.

    Attributes:
        features: [features] what the reward model sees, ψ(s, a).
        utility: true utility U(s, a).
        planted: how far the pair lies in the blind spot, in [0, 1].
    """

    features: Float[Array, "... features"]
    utility: Float[Array, "..."]
    planted: Float[Array, "..."]


@struct.dataclass
class TabularGame(Game):
    """A discounted process with a softmax policy: r = φ·ψ(s, a), w = occupancy of π_θ.

    d = (1 − γ) (I − γ P_πᵀ)⁻¹ ρ,   w(s, a) = d(s) π_θ(a | s),   cost = τ · Σ_s d(s) KL(π_θ(· | s) ‖ uniform)

    θ: [states, actions] logits, from 0. φ: [features], from 0. With this occupancy, E[U] is (1 − γ) times the
    expected discounted return of U.

    Attributes:
        transitions: [states, actions, states] P[s, a, s'], rows summing to 1.
        start: [states] distribution ρ of the first state.
        discount: γ in [0, 1).
        pairs: what is known of each pair, [states, actions, ...].
        covered: [states, actions] weights of the offline data, summing to 1.
        temperature: price τ of a nat of KL to the uniform policy.
    """

    transitions: Float[Array, "states actions states"]
    start: Float[Array, " states"]
    discount: float | Scalar
    pairs: Pair
    covered: Float[Array, "states actions"]
    temperature: float | Scalar

    def init(self, key: Key) -> tuple[Theta, Float[Array, " features"]]:
        """Return the uniform policy and a reward model that knows nothing, φ₀ = 0."""
        return jnp.zeros_like(self.pairs.utility), jnp.zeros_like(self.pairs.features[0, 0])

    def respond(self, theta: Theta, key: Key) -> Responses:
        """Return all state-action pairs weighted by the occupancy of π_θ: exact, no key needed."""
        return self._responses(self.occupancy(theta))

    def reward(self, phi: Float[Array, " features"], y: Pair) -> Scalar:
        """Return φ·ψ(s, a)."""
        return jnp.sum(phi * y.features)

    def utility(self, y: Pair) -> Scalar:
        """Return U(s, a)."""
        return y.utility

    def cost(self, theta: Theta, responses: Responses) -> Scalar:
        """Return τ · Σ_s d(s) KL(π_θ(· | s) ‖ uniform)."""
        return self.temperature * self._kl(theta, responses.w.reshape(theta.shape))

    def blind_spot(self, y: Pair) -> Scalar:
        """Return how far the pair lies in the blind spot."""
        return y.planted

    def offline(self) -> Responses:
        """Return the offline data, which do not cover the blind spot."""
        return self._responses(self.covered)

    def diagnostics(self, theta: Theta) -> dict[str, Scalar]:
        """Return `kl`, the occupancy-weighted KL(π_θ ‖ π_θ₀) in nats; the initial policy is uniform."""
        return {"kl": self._kl(theta, self.occupancy(theta))}

    def optimum(self) -> Scalar:
        """Return max_π E_π[U], by policy iteration on U: what a policy can reach from the start.

        Each step evaluates the greedy policy by one linear solve; there are finitely many policies and each
        step improves, so that it ends at the best one.
        """

        def improve(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            _, greedy, _ = carry
            chosen = jax.nn.one_hot(greedy, self.pairs.utility.shape[1], dtype=self.start.dtype)
            reward = jnp.sum(chosen * self.pairs.utility, axis=1)
            values = _solve(self._resolvent(chosen), reward)
            ahead = self.transitions @ values
            action_values = self.pairs.utility + self.discount * ahead
            # an action must be better by more than rounding, lest two equal ones take turns forever
            slack = 1e3 * jnp.finfo(values.dtype).eps * jnp.max(jnp.abs(action_values))
            better = jnp.max(action_values, axis=1) > values + slack
            improved = jnp.where(better, jnp.argmax(action_values, axis=1), greedy)
            return values, improved, jnp.any(improved != greedy)

        first = jnp.argmax(self.pairs.utility, axis=1)
        begun = improve((jnp.zeros_like(self.start), first, jnp.asarray(True)))
        values, _, _ = jax.lax.while_loop(lambda carry: carry[2], improve, begun)
        return (1.0 - self.discount) * jnp.sum(self.start * values)

    def occupancy(self, theta: Theta) -> Float[Array, "states actions"]:
        """Return w(s, a) = d(s) π_θ(a | s), summing to 1; differentiable in θ through one linear solve."""
        policy = jax.nn.softmax(theta, axis=1)
        visits = _solve(self._resolvent(policy).T, (1.0 - self.discount) * self.start)
        return visits[:, None] * policy

    def _resolvent(self, policy: Float[Array, "states actions"]) -> Float[Array, "states states"]:
        """Return I − γ P_π."""
        under_policy = jnp.sum(policy[:, :, None] * self.transitions, axis=1)
        return jnp.eye(self.start.size, dtype=self.start.dtype) - self.discount * under_policy

    def _responses(self, weights: Float[Array, "states actions"]) -> Responses:
        rows = jax.tree.map(lambda x: x.reshape(weights.size, *x.shape[2:]), self.pairs)
        return Responses(rows, weights.reshape(-1))

    def _kl(self, theta: Theta, weights: Float[Array, "states actions"]) -> Scalar:
        return jnp.sum(weights * (jax.nn.log_softmax(theta, axis=1) + jnp.log(float(theta.shape[1]))))


def planted_game(
    by_state: Pair,
    transitions: Float[Array, "states actions states"],
    start: Float[Array, " states"],
    discount: float | Scalar,
    temperature: float | Scalar,
) -> TabularGame:
    """Return the process in which a pair is what its state is, and offline data avoid planted states.

    Args:
        by_state: what is known of each state, [states, ...]; `planted` is 0 or 1.
        transitions, start, discount, temperature: as in `TabularGame`.

    The offline data are uniform on the pairs of the states that are not planted.
    """
    pairs = jax.tree.map(lambda x: jnp.repeat(x[:, None], transitions.shape[1], axis=1), by_state)
    ordinary = 1.0 - pairs.planted
    return TabularGame(transitions, start, discount, pairs, ordinary / jnp.sum(ordinary), temperature)


def _solve(matrix: Float[Array, "states states"], vector: Float[Array, " states"]) -> Array:
    operator = lx.MatrixLinearOperator(matrix)
    return lx.linear_solve(operator, vector, solver=lx.LU(), throw=False).value
