"""Tabular Markov decision processes: a policy is the occupancy of state-action pairs.

One differentiable linear solve gives the occupancy of π_θ = softmax(θ). Responses are state-action pairs, so
every expectation, penalty and steering term of the theory holds as it stands. `from_tables` makes a process
from tables given by hand. The makers of random or patterned processes share `Process`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, ArrayLike, Float

from fpo_jax.envs.parts.tables import check_discount, check_tables
from fpo_jax.envs.parts.transitions import Branches, Policy, States, Table, Transitions
from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import choice, count, real
from fpo_jax.types import Game, Key, Recipe, Responses, Scalar

Theta = Policy
COLLAPSING = Recipe(
    steps=3000,
    leader={"policy_lr": 10.0},
    follower="best-response",
    settings={"alpha": 0.3, "ridge": 0.1},
    weights={"relaxed": 0.3, "practical": 0.1},
)
"""Settings under which planted processes collapse without steering."""


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
    """A process with a softmax policy: r = φ·ψ(s, a), responses weighted by the occupancy of π_θ.

    w(s, a) = d(s) π_θ(a | s),   d = Σ_{t<H} γᵗ d_t / Σ_{t<H} γᵗ,   d_0 = ρ,   d_{t+1} = P_πᵀ d_t

    For an episode without end, H = ∞, this is d = (1 − γ) (I − γ P_πᵀ)⁻¹ ρ, one linear solve, and E[U] is
    (1 − γ) times the expected discounted return of U. For H steps with γ = 1 it is the average over steps.
    cost = τ · Σ_s d(s) KL(π_θ(· | s) ‖ uniform). θ: [states, actions] logits, from 0. φ: [features], from 0.

    Attributes:
        transitions: P(s' | s, a), a `Table` or `Branches`.
        start: [states] distribution ρ of the first state.
        discount: γ in [0, 1); 1 is allowed in episodes that end.
        pairs: what is known of each pair, [states, actions, ...].
        covered: [states, actions] weights of the offline data, summing to 1.
        temperature: price τ of a nat of KL to the uniform policy.
        episode_length: steps H of an episode; 0 for one without end.
    """

    transitions: Transitions
    start: States
    discount: float | Scalar
    pairs: Pair
    covered: Float[Array, "states actions"]
    temperature: float | Scalar
    episode_length: int = struct.field(pytree_node=False)

    def check(self) -> None:
        """Raise an InputError that names the state and action whose numbers no process can have."""
        check_tables(self)

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
        """Return max_π E_π[U]: what a policy can reach from the start.

        By policy iteration where the episode has no end, by backward induction where it has one. The latter
        lets the policy depend on the time step, which π_θ does not: then it is a bound.
        """
        if self.episode_length == 0:
            return (1.0 - self.discount) * jnp.sum(self.start * self._optimal_values())

        def back(values: States, _: None) -> tuple[States, None]:
            return jnp.max(self._action_values(values), axis=1), None

        values, _ = jax.lax.scan(back, jnp.zeros_like(self.start), None, length=self.episode_length)
        return jnp.sum(self.start * values) / jnp.sum(self._step_weights())

    def occupancy(self, theta: Theta) -> Float[Array, "states actions"]:
        """Return w(s, a) = d(s) π_θ(a | s), summing to 1; differentiable in θ."""
        policy = jax.nn.softmax(theta, axis=1)
        return self._visits(policy)[:, None] * policy

    @property
    def places(self) -> dict[str, int]:
        """Return the states, on each of which the pairs of all its actions lie."""
        return {"state": self.start.size}

    def _visits(self, policy: Policy) -> States:
        """Return d(s), the share of steps spent in each state."""
        if self.episode_length == 0:
            first = (1.0 - self.discount) * self.start
            visits = self.transitions.solve(policy, self.discount, first, transpose=True)
            return visits / jnp.sum(visits)  # which is 1 but for rounding, much of it near γ = 1 in float32

        def step(carry: tuple[States, States], weight: Scalar) -> tuple[tuple[States, States], None]:
            present, visits = carry
            return (self.transitions.push(policy, present), visits + weight * present), None

        weights = self._step_weights()
        (_, visits), _ = jax.lax.scan(step, (self.start, jnp.zeros_like(self.start)), weights)
        return visits / jnp.sum(weights)

    def _step_weights(self) -> Float[Array, " steps"]:
        """Return γᵗ for each step of an episode that ends."""
        return self.discount ** jnp.arange(self.episode_length, dtype=self.start.dtype)

    def _action_values(self, values: States) -> Policy:
        return self.pairs.utility + self.discount * self.transitions.ahead(values)

    def _optimal_values(self) -> States:
        """Return the values of the best policy, by policy iteration on U.

        Each step evaluates the greedy policy by one linear solve. There are finitely many policies and each
        step improves, so the iteration ends at the best one.
        """

        def improve(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            _, greedy, _ = carry
            chosen = jax.nn.one_hot(greedy, self.pairs.utility.shape[1], dtype=self.start.dtype)
            reward = jnp.sum(chosen * self.pairs.utility, axis=1)
            values = self.transitions.solve(chosen, self.discount, reward)
            action_values = self._action_values(values)
            # an action must be better by more than rounding; otherwise two equal ones would alternate forever
            slack = 1e3 * jnp.finfo(values.dtype).eps * jnp.max(jnp.abs(action_values))
            better = jnp.max(action_values, axis=1) > values + slack
            improved = jnp.where(better, jnp.argmax(action_values, axis=1), greedy)
            return values, improved, jnp.any(improved != greedy)

        greedy = jnp.argmax(self.pairs.utility, axis=1)
        first = improve((jnp.zeros_like(self.start), greedy, jnp.asarray(True)))
        values, _, _ = jax.lax.while_loop(lambda carry: carry[2], improve, first)
        return values

    def _responses(self, weights: Float[Array, "states actions"]) -> Responses:
        rows = jax.tree.map(lambda x: x.reshape(weights.size, *x.shape[2:]), self.pairs)
        return Responses(rows, weights.reshape(-1))

    def _kl(self, theta: Theta, weights: Float[Array, "states actions"]) -> Scalar:
        return jnp.sum(weights * log_ratio(theta))


def log_ratio(theta: Theta) -> Float[Array, "states actions"]:
    """Return log π_θ(a | s) + log A, the log-ratio of the policy to the uniform one."""
    return jax.nn.log_softmax(theta, axis=1) + jnp.log(float(theta.shape[1]))


@struct.dataclass
class Process:
    """What all makers of planted processes share: discount, episode length, price of KL, linear solver.

    A maker is a subclass with a `name`, a `recipe`, fields of its own and a method `draw`.
    """

    discount: float = real(0.9, "discount γ of the occupancy, < 1 unless episodes end", low=0.0, high=1.0)
    temperature: float = real(0.01, "price τ of KL(π ‖ uniform)", low=0.0)
    episode_length: int = count(0, "steps of an episode, averaged with weights γᵗ; 0 means no end", low=0)
    occupancy_solver: str = choice(
        "direct",
        "how to solve for occupancies: by elimination in an S × S matrix, or iteratively without one",
        ("direct", "iterative"),
    )

    def check(self) -> None:
        """Raise an InputError when an episode without end is not discounted."""
        check_discount(self.discount, self.episode_length)

    def planted_game(
        self,
        by_state: Pair,
        branches: Branches,
        start: States,
        is_covered: States,
    ) -> TabularGame:
        """Return the process in which each pair has the features, utility and blind spot of its state.

        Args:
            by_state: what is known of each state, [states, ...]; `planted` is 0 or 1.
            branches, start: as in `TabularGame`.
            is_covered: [states] 1 for the states on whose pairs the offline data are uniform, else 0.
        """
        actions = branches.successors.shape[1]
        pairs = jax.tree.map(lambda x: jnp.repeat(x[:, None], actions, axis=1), by_state)
        covered = jnp.repeat(is_covered[:, None], actions, axis=1)
        return TabularGame(
            transitions=branches if self.occupancy_solver == "iterative" else branches.table(),
            start=start,
            discount=self.discount,
            pairs=pairs,
            covered=covered / jnp.sum(covered),
            temperature=self.temperature,
            episode_length=self.episode_length,
        )


def from_tables(
    transitions: ArrayLike,
    features: ArrayLike,
    utility: ArrayLike,
    *,
    start: ArrayLike | None = None,
    planted: ArrayLike | None = None,
    covered: ArrayLike | None = None,
    discount: float = 0.9,
    temperature: float = 0.0,
    episode_length: int = 0,
) -> TabularGame:
    """Return the process that these tables describe.

    Args:
        transitions: [states, actions, states] P[s, a, s'], rows summing to 1.
        features: [states, actions, features] what the reward model sees; or [states, features].
        utility: [states, actions] true utility; or [states].
        start: [states] distribution of the first state; uniform by default.
        planted: [states, actions] how far a pair lies in the blind spot, in [0, 1]; or [states]; default 0.
        covered: [states, actions] weights of the offline data; by default uniform on pairs with planted = 0.
        discount, temperature, episode_length: as in `TabularGame`.

    Raises:
        InputError: names the table, state or action at fault.
    """
    table = jnp.asarray(transitions, float)
    if table.ndim != 3 or table.shape[0] != table.shape[2]:
        raise InputError("transitions", f"array of shape {table.shape}", "of shape [states, actions, states]")
    states, actions, _ = table.shape

    def of_pairs(name: str, given: ArrayLike, trailing: int) -> Array:
        array = jnp.asarray(given, float)
        if array.ndim == trailing + 1:
            array = jnp.repeat(array[:, None], actions, axis=1)
        if array.shape[:2] != (states, actions) or array.ndim != trailing + 2:
            axes = ", features" * trailing
            allowed = f"of shape [{states}, {actions}{axes}] or [{states}{axes}], as the transitions have it"
            raise InputError(name, f"array of shape {jnp.shape(given)}", allowed)
        return array

    spot = of_pairs("planted", jnp.zeros(states) if planted is None else planted, 0)
    ordinary = jnp.where(spot == 0, 1.0, 0.0)
    if covered is None and not np.any(ordinary):
        raise InputError("planted", "nowhere 0", "0 for the pairs that offline data cover, or covered given")
    game = TabularGame(
        transitions=Table(table),
        start=jnp.full(states, 1.0 / states) if start is None else jnp.asarray(start, float),
        discount=discount,
        pairs=Pair(of_pairs("features", features, 1), of_pairs("utility", utility, 0), spot),
        covered=ordinary / jnp.sum(ordinary) if covered is None else of_pairs("covered", covered, 0),
        temperature=temperature,
        episode_length=episode_length,
    )
    game.check()
    return game
