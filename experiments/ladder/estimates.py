"""Estimates of dF/dθ by every route at the states of all runs."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize_scalar

from fpo_jax.experiments.core.timing import median_seconds
from fpo_jax.experiments.ladder.result import Effective, Route
from fpo_jax.leader import of_objective
from fpo_jax.numerics.keys import named_key
from fpo_jax.objectives import OBJECTIVES, Exact, Myopic
from fpo_jax.objectives.effective_reward import effective_rewards
from fpo_jax.objectives.penalties import Penalised
from fpo_jax.steering import cosine, norm, norm_ratio, sign_agreement, steering
from fpo_jax.types import Follower, Game, Key, Objective, State

LOG_WEIGHTS = (-5.0, 3.0)
"""Range of log₁₀ weight in which the best weight is searched."""


class RouteEstimates:
    """Estimates at the states of all runs, with one compiled program for each route.

    Args:
        games: the instance of each seed, leading axis [seed].
        follower: the follower to foresee.
        keys: [seed], those of the runs.
        states: the states at the compared iterations, [seed, entry, ...].
        progress: [entry] share of the run that is over, in [0, 1].
        driver: the objective that drove the runs. A route of the same class uses the memory that it left in
            the states. None for no such memory.
    """

    def __init__(
        self,
        games: Game,
        follower: Follower,
        keys: Key,
        states: State,
        progress: jax.Array,
        driver: Objective | None = None,
    ):
        self.games, self.follower = games, follower
        self.keys, self.states, self.progress = keys, states, progress
        self.driver = driver  # the states hold what it keeps along the runs
        self._correct = jax.jit(self._correction)  # one program, so that another weight compiles nothing

    def correction(self, objective: Objective) -> tuple[Any, Any]:
        """Return the correction and its cost at every state, [seed, entry, ...]."""
        return self._correct(objective, self.games, self.keys, self.states)

    def norms(self) -> dict[str, np.ndarray]:
        """Return the norms of `standard` and `steering` part at every state, [seed, entry] each."""

        def at(game: Game, state: State, key: Key) -> dict[str, jax.Array]:
            parts = steering(game, self.follower, state.theta, state.reward_model, key)
            return {name: norm(part) for name, part in parts._asdict().items()}

        return jax.tree.map(
            np.asarray, jax.jit(partial(self._over_all, at))(self.games, self.keys, self.states)
        )

    def compare(self, objective: Objective, exact: Any, draws: int = 1) -> Route:
        """Compare one route with the exact correction.

        Args:
            objective: the route.
            exact: the exact correction at every state.
            draws: random draws for bias and spread; 1 for neither.
        """
        correction, cost = self.correction(objective)

        def measure(ours: Any, theirs: Any) -> dict[str, jax.Array]:
            error = jax.tree.map(jnp.subtract, ours, theirs)
            return {
                "cosine": cosine(ours, theirs),
                "norm_ratio": norm_ratio(ours, theirs),
                "sign_agreement": sign_agreement(ours, theirs),
                "relative_error": norm_ratio(error, theirs),
            }

        measures = jax.jit(jax.vmap(jax.vmap(measure)))(correction, exact)
        weight = getattr(objective, "weight", None)
        best = self._best_weight(objective, exact) if isinstance(objective, Penalised) else None
        full = np.shape(measures["cosine"])
        return Route(
            {name: np.asarray(values) for name, values in measures.items()},
            jax.tree.map(lambda c: np.broadcast_to(np.asarray(c), full), cost),
            np.isnan(np.asarray(jax.jit(jax.vmap(jax.vmap(norm)))(correction))),
            self._seconds(objective),
            weight,
            best,
            self.bias_and_spread(self._weighted(objective, best), exact, draws) if draws > 1 else {},
        )

    def bias_and_spread(self, objective: Objective, exact: Any, draws: int) -> dict[str, np.ndarray]:
        """Return the bias and the spread of a route over draws, at every state, [seed, entry] each.

            bias = ‖mean g − g*‖ / ‖g*‖,    spread = √(mean ‖g − mean g‖²) / ‖g*‖

        g is the correction of the route at the same state with a new key for each draw, and g* the exact one.
        """
        fold = jax.vmap(jax.random.fold_in, in_axes=(0, None))
        drawn = [
            self._correct(objective, self.games, fold(self.keys, number), self.states)[0]
            for number in range(draws)
        ]

        def measure(theirs: Any, *ours: Any) -> dict[str, jax.Array]:
            size = norm(theirs)
            mean = jax.tree.map(lambda *g: sum(g) / draws, *ours)
            off = [norm(jax.tree.map(jnp.subtract, g, mean)) for g in ours]
            return {
                "bias": norm(jax.tree.map(jnp.subtract, mean, theirs)) / size,
                "spread": jnp.sqrt(sum(x**2 for x in off) / draws) / size,
            }

        return jax.tree.map(np.asarray, jax.jit(jax.vmap(jax.vmap(measure)))(exact, *drawn))

    def _weighted(self, objective: Objective, weight: float | None) -> Objective:
        if weight is None:
            return objective
        return type(objective)(**(vars(objective) | {"weight": weight}))

    def _best_weight(self, objective: Penalised, exact: Any) -> float | None:
        """Return the weight that brings the correction closest to the exact one, or None if none helps."""
        theirs = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(exact)])

        def distance(log_weight: float) -> float:
            ours = jax.tree.leaves(self.correction(self._weighted(objective, 10.0**log_weight))[0])
            return float(np.linalg.norm(np.concatenate([np.ravel(leaf) for leaf in ours]) - theirs))

        found = minimize_scalar(distance, bounds=LOG_WEIGHTS, method="bounded", options={"xatol": 1e-5})
        return float(10.0**found.x) if found.fun < np.linalg.norm(theirs) else None

    def _correction(self, objective: Objective, games: Game, keys: Key, states: State) -> tuple[Any, Any]:
        def at(game: Game, state: State, key: Key) -> tuple[Any, Any]:
            arguments = (game, self.follower, state.theta, state.reward_model, key)
            route, myopic = objective, Myopic().estimate(*arguments)
            if objective.keeps and type(objective) is type(self.driver):
                route = objective.for_iteration(game, self.follower, of_objective(state), key)
            estimate = route.estimate(*arguments)
            return jax.tree.map(jnp.subtract, estimate.gradient, myopic.gradient), estimate.cost

        return self._over_all(at, games, keys, states)

    def _over_all(self, at: Callable[[Game, State, Key], Any], games: Game, keys: Key, states: State) -> Any:
        """Apply a function of (game, state, key) at every state of every seed."""

        def of_seed(game: Game, key: Key, seed_states: State) -> Any:
            own_key = named_key(key, "decomposition")
            # one state after the other, so that a long comparison fits in memory
            moments = self.progress, seed_states
            return jax.lax.map(lambda moment: at(game.at(moment[0]), moment[1], own_key), moments)

        return jax.vmap(of_seed)(games, keys, states)

    def effective_rewards(self, routes: Mapping[str, Route]) -> Effective | None:
        """Return effective rewards by response, or None if the policy has only one response."""
        key, game, state = self._last()
        responses = game.respond(state.theta, key)
        if responses.w.size == 1:
            return None
        fitted = {
            label: OBJECTIVES[label](weight=route.best_weight)
            for label, route in routes.items()
            if route.best_weight is not None and label in OBJECTIVES
        }

        def at(state: State) -> tuple[jax.Array, dict[str, jax.Array], jax.Array]:
            def of(objective: Objective) -> jax.Array:
                return effective_rewards(objective, game, self.follower, state.theta, state.reward_model, key)

            rungs = {label: of(rung) for label, rung in fitted.items()}
            return of(Exact()), rungs, jax.vmap(game.blind_spot)(responses.y)

        return Effective(*jax.tree.map(np.asarray, jax.jit(at)(state)))

    def _last(self) -> tuple[Key, Game, State]:
        """Return the first seed's key, game and state at its last entry."""
        key, state = self.keys[0], jax.tree.map(lambda leaf: leaf[0, -1], self.states)
        first = jax.tree.map(lambda leaf: leaf[0], self.games)
        game = jax.jit(lambda game, p: game.at(p))(first, self.progress[-1])
        return key, game, state

    def _seconds(self, objective: Objective, repeats: int = 20) -> float:
        """Return the median seconds of one estimate at the first seed's last state, without compilation."""
        key, game, state = self._last()
        program = jax.jit(
            lambda game, state: objective.estimate(game, self.follower, state.theta, state.reward_model, key)
        )
        return median_seconds(lambda: program(game, state), repeats)
