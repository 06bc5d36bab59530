"""The gradient taken apart along a run: every rung of the ladder beside the exact term, and what each costs.

At each compared iteration every route gives an estimate of dF/dθ. What is compared is its *correction*, the
estimate less the myopic gradient ∂J/∂θ at the present φ: all that foresight adds. At a best response, where
φ⁺ = φ, the exact correction is the steering term.
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize_scalar

from experiments import figures
from experiments.results import replacing, write_json
from experiments.settings import Settings, in_precision
from fpo_jax import plotting
from fpo_jax.estimators import EffectiveReward, Implicit
from fpo_jax.hyperparameters import InputError, declared, require_known
from fpo_jax.keys import named_key
from fpo_jax.objectives import OBJECTIVES, Exact, Myopic, Penalised, Relaxed
from fpo_jax.record import outcome
from fpo_jax.simulate import instance, run_seeds, seed_keys
from fpo_jax.statistics import mean_interval
from fpo_jax.steering import cosine, norm, norm_ratio, sign_agreement, steering
from fpo_jax.types import Environment, Follower, Game, Key, Objective, State

REFERENCE = "exact"
COINCIDES = 1e-6
"""Relative error below which a route is drawn as one with the exact one."""
LOG_WEIGHTS = (-5.0, 3.0)
"""Decades in which the best weight is sought."""
MEASURES = {
    "cosine": "cosine with the exact correction",
    "norm_ratio": "norm over the exact correction's",
    "sign_agreement": "share of coordinates of the same sign",
    "relative_error": "‖correction − exact‖ / ‖exact‖",
}


class Compared(NamedTuple):
    """What one route gave along the runs.

    Attributes:
        measures: by name, [seed, entry]; NaN where undefined, that is where there is nothing to steer.
        products, iterations, residual: of its linear solves, [seed, entry].
        seconds: median time of one estimate at one state.
        weight: penalty weight in use, or None.
        best_weight: the weight that fits the exact correction best, by least squares along the runs, or None.
    """

    measures: dict[str, np.ndarray]
    products: np.ndarray
    iterations: np.ndarray
    residual: np.ndarray
    seconds: float
    weight: float | None
    best_weight: float | None


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
        exact: [n] r̃(y) at the best response.
        rungs: [n] each, r − weight · penalty by label, with the weight that fits the exact correction best.
        blind_spot: [n] how far a response lies in the blind spot.
    """

    exact: np.ndarray
    rungs: dict[str, np.ndarray]
    blind_spot: np.ndarray


def decompose(settings: Settings, every: int, horizon: int = 1, only: Sequence[str] = ()) -> Decomposed:
    """Run the settings, and compare every route with the exact one at every `every`-th iteration.

    Args:
        settings: the runs along which to compare; their objective drives the policy.
        every: iterations between two comparisons.
        horizon: updates of the follower that the exact term foresees, whatever the driving objective does.
        only: labels of the routes to compare; all of them by default.

    Raises:
        InputError: when `every` is not in [1, steps], the horizon not >= 1, a route unknown.
    """
    if not 1 <= every <= settings.steps:
        raise InputError("every", every, f"an integer >= 1 and <= steps = {settings.steps}")
    if horizon < 1:
        raise InputError("foresee", horizon, "an integer >= 1")
    environment, leader, follower = settings.build()
    scale = follower.calibrated_weight(horizon)
    ladder = _ladder(environment.recipe.weights, horizon, scale)
    for label in only:
        require_known("only", label, ladder)
    shown = np.arange(0, settings.steps + 1, every)
    with in_precision(settings.precision):
        keys = seed_keys(settings.seeds, settings.seed)
        _, trace = run_seeds(
            environment, leader, follower, keys, steps=settings.steps, record=outcome, keep_states=True
        )
        states = jax.tree.map(lambda leaf: leaf[:, shown], trace.state)
        compare = _Comparison(environment, follower, keys, states)
        exact, _, norms = compare.correction(Exact(horizon))
        routes, skipped = {}, {}
        for label in only or ladder:
            try:
                routes[label] = compare(ladder[label], exact)
            except InputError as error:
                skipped[label] = str(error)
        try:
            effective = compare.effective_rewards(routes)
        except InputError:  # the follower is no best response, so that there is no exact effective reward
            effective = None
    return Decomposed(settings, shown, routes, norms, scale, skipped, effective)


def _ladder(weights: Mapping[str, float], horizon: int, scale: float | None) -> dict[str, Objective]:
    """Return the routes to compare, by label: every objective but the myopic one, and variants of some.

    Penalties have the recipe's weight, and the weight of the follower's own steps where there is one.
    """
    ladder: dict[str, Objective] = {}
    for name, cls in OBJECTIVES.items():
        options: dict[str, Any] = {"weight": weights[name]} if name in weights else {}
        if any(field.name == "horizon" for field in declared(cls)):
            options["horizon"] = horizon
        ladder[name] = cls(**options)
    del ladder["myopic"], ladder["limit"]
    ladder |= {"implicit, CG": Implicit(solver="cg"), "implicit, Neumann 10": Implicit("neumann", terms=10)}
    return ladder if scale is None else ladder | {"relaxed, 2·lr·α·k": Relaxed(scale)}


class _Comparison:
    """Estimates at the states of all runs, in one compiled program for each route."""

    def __init__(self, environment: Environment, follower: Follower, keys: Key, states: State):
        self.environment, self.follower, self.keys, self.states = environment, follower, keys, states
        self._correct = jax.jit(self._correction)

    def correction(self, objective: Objective) -> tuple[Any, Any, dict[str, np.ndarray]]:
        """Return the correction and its cost at every state, and the norms of the exact parts there."""

        return self._correct(objective, self.keys, self.states)

    def __call__(self, objective: Objective, exact: Any) -> Compared:
        """Compare one route with the exact correction."""
        correction, cost, _ = self.correction(objective)

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
        products, iterations, residual = (np.broadcast_to(np.asarray(c), full) for c in cost)
        return Compared(
            {name: np.asarray(values) for name, values in measures.items()},
            products,
            iterations,
            residual,
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

    def _correction(
        self, objective: Objective, keys: Key, states: State
    ) -> tuple[Any, Any, dict[str, jax.Array]]:
        def at(game: Game, state: State, key: Key) -> tuple[Any, Any, dict[str, jax.Array]]:
            arguments = (game, self.follower, state.theta, state.reward_model, key)
            estimate, myopic = objective.estimate(*arguments), Myopic().estimate(*arguments)
            parts = steering(*arguments)
            norms = {name: norm(part) for name, part in parts._asdict().items()}
            return jax.tree.map(jnp.subtract, estimate.gradient, myopic.gradient), estimate.cost, norms

        def of_seed(key: Key, seed_states: State) -> Any:
            game = instance(self.environment, key)
            return jax.vmap(lambda state: at(game, state, named_key(key, "decomposition")))(seed_states)

        return jax.vmap(of_seed)(keys, states)

    def effective_rewards(self, routes: Mapping[str, Compared]) -> Effective | None:
        """Return effective rewards by response, or None where the policy is one response."""
        key, state = self.keys[0], jax.tree.map(lambda leaf: leaf[0, -1], self.states)
        game = jax.jit(lambda key: instance(self.environment, key))(key)
        responses = game.respond(state.theta, key)
        if responses.w.size == 1:
            return None
        fitted = {
            label: OBJECTIVES[label](weight=route.best_weight)
            for label, route in routes.items()
            if route.best_weight is not None and label in OBJECTIVES
        }

        def at(state: State) -> tuple[jax.Array, dict[str, jax.Array], jax.Array]:
            arguments = (game, self.follower, state.theta, state.reward_model, key)
            exact, _ = EffectiveReward().reward(*arguments)
            rungs = {
                label: jax.vmap(rung.effective_reward(game, state.theta, state.reward_model, key))(
                    responses.y
                )
                for label, rung in fitted.items()
            }
            return jax.vmap(exact)(responses.y), rungs, jax.vmap(game.blind_spot)(responses.y)

        return Effective(*jax.tree.map(np.asarray, jax.jit(at)(state)))

    def _seconds(self, objective: Objective, repeats: int = 20) -> float:
        """Return the median time of one estimate at the first seed's last state, compilation excluded."""
        key = self.keys[0]
        game = jax.jit(lambda key: instance(self.environment, key))(key)
        state = jax.tree.map(lambda leaf: leaf[0, -1], self.states)
        program = jax.jit(
            lambda game, state: objective.estimate(game, self.follower, state.theta, state.reward_model, key)
        )
        jax.block_until_ready(program(game, state))
        times = []
        for _ in range(repeats):
            started = time.perf_counter()
            jax.block_until_ready(program(game, state))
            times.append(time.perf_counter() - started)
        return statistics.median(times)


def rows(decomposed: Decomposed) -> list[dict[str, Any]]:
    """Return the table: for each route the mean over seeds and iterations of every measure, and its cost."""
    table = []
    for label, route in decomposed.routes.items():
        row: dict[str, Any] = {"route": label, "weight": route.weight, "best_weight": route.best_weight}
        for name, values in route.measures.items():
            with np.errstate(all="ignore"):
                by_seed = np.array(
                    [seed[np.isfinite(seed)].mean() if np.isfinite(seed).any() else np.nan for seed in values]
                )
            estimate = mean_interval(by_seed[np.isfinite(by_seed)])
            row[name] = estimate.mean if np.isfinite(estimate.mean) else None
            row[f"{name}_ci95"] = [x if np.isfinite(x) else None for x in (estimate.low, estimate.high)]
        row["products"] = float(route.products.mean())
        row["solver_iterations"] = float(route.iterations.mean())
        residual = float(route.residual.max())
        row["largest_residual"] = residual if np.isfinite(residual) else None
        row["failed"] = int(np.sum(~np.isfinite(route.residual)))
        row["seconds"] = route.seconds
        table.append(row)
    return table


def arrays(decomposed: Decomposed) -> dict[str, np.ndarray]:
    """Return the numbers as `route/measure` arrays of shape [seed, entry], with `iteration` [entry]."""
    named = {
        f"{label}/{name}": values
        for label, route in decomposed.routes.items()
        for name, values in {
            **route.measures,
            "products": route.products,
            "solver_iterations": route.iterations,
            "residual": route.residual,
        }.items()
    }
    return (
        named
        | {f"{name}_norm": v for name, v in decomposed.norms.items()}
        | {"iteration": decomposed.iterations}
    )


def draw(decomposed: Decomposed) -> Mapping[str, Figure]:
    """Return the figures: agreement over iterations, accuracy against cost, norms of the two parts."""
    routes = {label: route for label, route in decomposed.routes.items() if label != REFERENCE}
    errors = {label: float(np.nanmedian(route.measures["relative_error"])) for label, route in routes.items()}
    shown = {label: route for label, route in routes.items() if not errors[label] < COINCIDES}
    styles = plotting.ladder_styles(list(routes))
    over, axes = plotting.panels(1, 2)
    for ax, name in zip(axes[0], ("cosine", "norm_ratio"), strict=True):
        for label, route in shown.items():
            plotting.line(ax, decomposed.iterations, route.measures[name], label, styles[label])
        ax.set_title(MEASURES[name], fontsize=plotting.TITLE_SIZE)
        ax.set_xlabel("iteration")
        plotting.ideal(ax, 1.0, f"exact, and {len(routes) - len(shown)} routes within {COINCIDES:g} of it")
    plotting.logarithmic(axes[0, 1])
    figures.legend_below(over, axes[0, 0], 4)
    against, (cost_axes,) = plotting.panels(1, 1)
    against.set_size_inches(6.0, 3.6)
    plotting.accuracy_against_cost(
        cost_axes[0],
        {label: (1e6 * route.seconds, errors[label]) for label, route in routes.items()},
        styles,
    )
    norms, (norm_axes,) = plotting.panels(1, 1)
    for (name, values), style in zip(decomposed.norms.items(), (plotting.RLHF, plotting.EXACT), strict=True):
        plotting.line(norm_axes[0], decomposed.iterations, values, f"{name} part", style)
    norm_axes[0].set_yscale("log")
    norm_axes[0].set_xlabel("iteration")
    norm_axes[0].set_title("norms of the two parts of dF/dθ", fontsize=plotting.TITLE_SIZE)
    norm_axes[0].legend(fontsize=8, frameon=False)
    names = decomposed.settings.names
    n = decomposed.settings.seeds
    for figure in (over, against, norms):
        figure.suptitle(f"{names.environment}, driven by {names.objective}; median of {n} seeds", fontsize=9)
    drawn = {"agreement": over, "accuracy_against_cost": against, "norms": norms}
    if decomposed.effective is not None:
        drawn["effective_reward"] = _effective_figure(decomposed, decomposed.effective)
    return drawn


def _effective_figure(decomposed: Decomposed, effective: Effective) -> Figure:
    figure, axes = plotting.panels(1, len(effective.rungs), sharey=True)
    figure.set_size_inches(2.3 * len(effective.rungs) + 0.6, 2.9)
    for ax, (label, values) in zip(axes[0], effective.rungs.items(), strict=True):
        weight = decomposed.routes[label].best_weight
        plotting.scatter_exact(ax, effective.exact, values, effective.blind_spot, f"{label} {weight:.3g}")
    axes[0, 0].set_ylabel("approximate effective reward")
    figure.supxlabel("exact effective reward r̃(y)", fontsize=9)
    names, seed = decomposed.settings.names, decomposed.settings.seed
    figure.suptitle(
        f"{names.environment}, driven by {names.objective}, seed {seed}, iteration "
        f"{decomposed.iterations[-1]}: each dot a response; orange: in the blind spot",
        fontsize=9,
    )
    return figure


def show(decomposed: Decomposed) -> str:
    """Return the table as text."""

    def cell(value: Any, form: str) -> str:
        return "–" if value is None else format(value, form)

    head = f"{'route':22s}{'cosine':>8s}{'norm ratio':>12s}{'signs':>8s}{'error':>10s}{'products':>10s}"
    lines = [f"{head}{'µs':>9s}{'weight':>9s}{'best':>9s}"]
    for row in rows(decomposed):
        lines.append(
            f"{row['route']:22s}{cell(row['cosine'], '.3f'):>8s}{cell(row['norm_ratio'], '.3g'):>12s}"
            f"{cell(row['sign_agreement'], '.3f'):>8s}{cell(row['relative_error'], '.1e'):>10s}"
            f"{row['products']:10.1f}{1e6 * row['seconds']:9.0f}{cell(row['weight'], '.3g'):>9s}"
            f"{cell(row['best_weight'], '.3g'):>9s}"
        )
    scale = "none" if decomposed.scale is None else f"{decomposed.scale:.3g}"
    lines.append(f"weight of the follower's own step, 2·lr·α·k: {scale}; best: least squares along the runs")
    return "\n".join(lines)


def write(out: Path, decomposed: Decomposed, report: Mapping[str, Any]) -> None:
    """Write `config.json`, `decomposition.npz`, `summary.json` and the figures."""
    with replacing(out) as folder:
        write_json(folder / "config.json", decomposed.settings.as_dict())
        with (folder / "decomposition.npz").open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays(decomposed))
        write_json(folder / "summary.json", report)
        figures.save_all(draw(decomposed), folder)
