"""The gradient taken apart along a run: every rung of the ladder beside the exact term, and what each costs.

At each compared iteration every route gives an estimate of dF/dθ. What is compared is its *correction*, the
estimate less the myopic gradient ∂J/∂θ at the present φ: all that foresight adds. At a best response, where
φ⁺ = φ, the exact correction is the steering term.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize_scalar

from fpo_jax.engine.checks import directly
from fpo_jax.engine.initial import begin, seed_keys
from fpo_jax.engine.runs import iterations as program_of
from fpo_jax.engine.runs import run_by
from fpo_jax.errors import InputError, require_known
from fpo_jax.experiments.core.progress import Tell, silent, telling
from fpo_jax.experiments.core.settings import Settings, in_precision
from fpo_jax.experiments.core.timing import median_seconds
from fpo_jax.experiments.runs.execution import STATIONARY
from fpo_jax.hyperparameters import declared
from fpo_jax.numerics.keys import named_key
from fpo_jax.objectives import OBJECTIVES, Exact, Myopic
from fpo_jax.objectives.best_of_n import effective_rewards
from fpo_jax.objectives.implicit import Implicit
from fpo_jax.objectives.penalties import Penalised
from fpo_jax.record import outcome
from fpo_jax.steering import cosine, norm, norm_ratio, sign_agreement, steering
from fpo_jax.types import Cost, Follower, Game, Key, Objective, Recipe, State

MOST_COORDINATES = 1000
"""Coordinates of θ beyond which they are not tried one by one unless that is asked for."""
LOG_WEIGHTS = (-5.0, 3.0)
"""Decades in which the best weight is sought."""


class Compared(NamedTuple):
    """What one route gave along the runs.

    Attributes:
        measures: by name, [seed, entry]; NaN where undefined, that is where there is nothing to steer.
        cost: of its linear solves, [seed, entry] each.
        failed: whether the route gave no number, [seed, entry].
        seconds: median time of one estimate at one state.
        weight: penalty weight in use, or None.
        best_weight: the weight that fits the exact correction best, by least squares along the runs, or None.
    """

    measures: dict[str, np.ndarray]
    cost: Cost
    failed: np.ndarray
    seconds: float
    weight: float | None
    best_weight: float | None

    @property
    def error(self) -> float:
        """Return the median relative error; NaN where there is none that is defined."""
        values = self.measures["relative_error"]
        defined = values[np.isfinite(values)]
        return float(np.median(defined)) if defined.size else float("nan")

    def warning(self) -> str | None:
        """Say where the implicit function theorem or its solve fails along the runs, or None."""
        slope, failed = float(np.max(self.cost.slope)), int(self.failed.sum())
        said = [f"φ⁺ is no stationary point, ‖∂L/∂φ‖ up to {slope:.1e}"] * (slope > STATIONARY)
        said += [f"the solve failed at {failed} of {self.failed.size} states"] * (failed > 0)
        return "; ".join(said) or None


class Decomposed(NamedTuple):
    """A comparison of all routes along the runs of one policy.

    Attributes:
        settings: the runs along which it was made.
        iterations: [entry] compared iterations.
        routes: by label.
        norms: `standard` and `steering` part of dF/dθ, [seed, entry] each.
        scale: 2·lr·α·k, the weight of the follower's own step, or None.
        skipped: why a route does not apply, by label.
    """

    settings: Settings
    iterations: np.ndarray
    routes: dict[str, Compared]
    norms: dict[str, np.ndarray]
    scale: float | None
    skipped: dict[str, str]
    effective: "Effective | None"


class Effective(NamedTuple):
    """Effective rewards at the first seed's last compared state, response by response.

    Attributes:
        exact: [n] r̃(y) = ∂F/∂w, the effective reward of exact foresight.
        rungs: [n] each, r − weight · penalty by label, with the weight that fits the exact correction best.
        blind_spot: [n] how far a response lies in the blind spot.
    """

    exact: np.ndarray
    rungs: dict[str, np.ndarray]
    blind_spot: np.ndarray


def decompose(
    settings: Settings, every: int, horizon: int = 1, only: Sequence[str] = (), tell: Tell = silent
) -> Decomposed:
    """Run the settings, and compare every route with the exact one at every `every`-th iteration.

    Args:
        settings: the runs along which to compare; their objective drives the policy.
        every: iterations between two comparisons.
        horizon: updates of the follower that the exact term foresees, whatever the driving objective does.
        only: labels of the routes to compare; all of them by default.
        tell: hears what is done now.

    Raises:
        InputError: when `every` is not in [1, steps], the horizon not >= 1, a route unknown.
    """
    if not 1 <= every <= settings.steps:
        raise InputError("every", every, f"an integer >= 1 and <= steps = {settings.steps}")
    if horizon < 1:
        raise InputError("foresee", horizon, "an integer >= 1")
    environment, leader, follower = settings.build()
    scale = follower.calibrated_weight(horizon)
    ladder = _ladder(environment.recipe, horizon, scale)
    for label in only:
        require_known("only", label, ladder)
    shown = np.arange(0, settings.steps + 1, every)
    with in_precision(settings.precision):
        keys, devices = seed_keys(settings.seeds, settings.seed), jax.local_devices()
        running = f"running {settings.names.objective}"
        iterations = f"the iterations of {settings.names.objective}"
        words = {begin: "how runs begin", program_of(len(keys), devices): iterations}
        begun, _, trace = run_by(
            telling(directly, tell, words, then=running),
            *(environment, leader, follower, keys),
            devices=devices,
            steps=settings.steps,
            record=outcome,
            keep_states=True,
            watch=lambda partway: tell(running, partway.done / partway.entries),
        )
        states = jax.tree.map(lambda leaf: jnp.asarray(leaf[:, shown]), trace.state)
        games = jax.tree.map(lambda leaf: leaf[: settings.seeds], begun.game)
        compare = _Comparison(games, follower, keys, states, jnp.asarray(shown / settings.steps))
        tell("the exact gradient: compiling it, and computing it at every state")
        exact, _ = compare.correction(ladder["exact"])
        norms = compare.norms()
        routes, skipped = {}, {}
        coordinates = sum(leaf[0, 0].size for leaf in jax.tree.leaves(states.theta))
        if not only and coordinates > MOST_COORDINATES:
            skipped["zero-order"] = f"{coordinates} coordinates of θ, two updates each: name it with --only"
        chosen = only or [label for label in ladder if label not in skipped]
        for number, label in enumerate(chosen):
            tell(
                f"{label}, route {number + 1} of {len(chosen)}: compiling and computing it",
                number / len(chosen),
            )
            try:
                routes[label] = compare(ladder[label], exact)
            except InputError as error:
                skipped[label] = str(error)
        tell("effective rewards: compiling and computing them")
        effective = compare.effective_rewards(routes)
    return Decomposed(settings, shown, routes, norms, scale, skipped, effective)


def _ladder(recipe: Recipe, horizon: int, scale: float | None) -> dict[str, Objective]:
    """Return the routes to compare, by label: every objective with an answer of its own, and variants.

    Settings are the recipe's; relaxed FPO also has the weight of the follower's own steps, if there is one.
    """

    def make(name: str) -> Objective:
        spoken = {**recipe.objective, "horizon": horizon}
        if name in recipe.weights:
            spoken["weight"] = recipe.weights[name]
        own = {field.name for field in declared(OBJECTIVES[name])}
        return OBJECTIVES[name](**{key: value for key, value in spoken.items() if key in own})

    # nothing to add; another horizon; names for two others; a step that is no gradient of F
    left_out = ("myopic", "limit", "fpo", "informed", "best-of")
    ladder = {name: make(name) for name in OBJECTIVES if name not in left_out}
    exact = Exact(horizon=horizon)  # the reference is dF/dθ itself, whatever the leader may know of it
    if ladder["exact"] != exact:
        ladder |= {"exact": exact, f"exact, U {ladder['exact'].utility}": ladder["exact"]}
    ladder |= {
        "implicit, CG": Implicit(solver="cg"),
        "implicit, Neumann 10": Implicit(solver="neumann", terms=10),
    }
    return ladder if scale is None else ladder | {"relaxed, 2·lr·α·k": make("relaxed").replace(weight=scale)}  # type: ignore[attr-defined]


class _Comparison:
    """Estimates at the states of all runs, in one compiled program for each route."""

    def __init__(self, games: Game, follower: Follower, keys: Key, states: State, progress: jax.Array):
        self.games, self.follower = games, follower
        self.keys, self.states, self.progress = keys, states, progress
        self._correct = jax.jit(self._correction)  # its own, so that another weight compiles nothing

    def correction(self, objective: Objective) -> tuple[Any, Any]:
        """Return the correction and its cost at every state."""
        return self._correct(objective, self.games, self.keys, self.states)

    def norms(self) -> dict[str, np.ndarray]:
        """Return the norms of the standard and the steering part at every state."""

        def at(game: Game, state: State, key: Key) -> dict[str, jax.Array]:
            parts = steering(game, self.follower, state.theta, state.reward_model, key)
            return {name: norm(part) for name, part in parts._asdict().items()}

        return jax.tree.map(
            np.asarray, jax.jit(partial(self._over_all, at))(self.games, self.keys, self.states)
        )

    def __call__(self, objective: Objective, exact: Any) -> Compared:
        """Compare one route with the exact correction."""
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
        return Compared(
            {name: np.asarray(values) for name, values in measures.items()},
            jax.tree.map(lambda c: np.broadcast_to(np.asarray(c), full), cost),
            np.isnan(np.asarray(jax.jit(jax.vmap(jax.vmap(norm)))(correction))),
            self._seconds(objective),
            weight,
            best,
        )

    def _best_weight(self, objective: Penalised, exact: Any) -> float | None:
        """Return the weight that brings the correction nearest to the exact one, or None where none helps."""
        theirs = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(exact)])

        def apart(log_weight: float) -> float:
            weighted = type(objective)(**(vars(objective) | {"weight": 10.0**log_weight}))
            ours = jax.tree.leaves(self.correction(weighted)[0])
            return float(np.linalg.norm(np.concatenate([np.ravel(leaf) for leaf in ours]) - theirs))

        found = minimize_scalar(apart, bounds=LOG_WEIGHTS, method="bounded", options={"xatol": 1e-5})
        return float(10.0**found.x) if found.fun < np.linalg.norm(theirs) else None

    def _correction(self, objective: Objective, games: Game, keys: Key, states: State) -> tuple[Any, Any]:
        def at(game: Game, state: State, key: Key) -> tuple[Any, Any]:
            arguments = (game, self.follower, state.theta, state.reward_model, key)
            estimate, myopic = objective.estimate(*arguments), Myopic().estimate(*arguments)
            return jax.tree.map(jnp.subtract, estimate.gradient, myopic.gradient), estimate.cost

        return self._over_all(at, games, keys, states)

    def _over_all(self, at: Callable[[Game, State, Key], Any], games: Game, keys: Key, states: State) -> Any:
        """Apply a function of (game, state, key) at every state of every seed."""

        def of_seed(game: Game, key: Key, seed_states: State) -> Any:
            own_key = named_key(key, "decomposition")
            # one after the other, so that memory holds a long comparison
            moments = self.progress, seed_states
            return jax.lax.map(lambda moment: at(game.at(moment[0]), moment[1], own_key), moments)

        return jax.vmap(of_seed)(games, keys, states)

    def effective_rewards(self, routes: Mapping[str, Compared]) -> Effective | None:
        """Return effective rewards by response, or None where the policy is one response."""
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
        """Return the median time of one estimate at the first seed's last state, compilation excluded."""
        key, game, state = self._last()
        program = jax.jit(
            lambda game, state: objective.estimate(game, self.follower, state.theta, state.reward_model, key)
        )
        return median_seconds(lambda: program(game, state), repeats)
