"""Run settings over seeds, exclude diverged seeds, and summarise the others."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

from fpo_jax.engine import kept_programs
from fpo_jax.engine.initial import begin_runs, keys_of, seed_keys
from fpo_jax.engine.runs import first_divergence, iterations, require_memory, run_by, run_seeds
from fpo_jax.engine.segments import Partway, Watch
from fpo_jax.experiments.core.progress import Tell, silent, telling
from fpo_jax.experiments.core.settings import RECORDS, Settings, in_precision
from fpo_jax.experiments.core.wording import counted
from fpo_jax.experiments.runs.history import at_shown, worth_keeping
from fpo_jax.experiments.runs.result import Diverged, Result
from fpo_jax.record import outcome
from fpo_jax.statistics import FEW, mean_interval, share_interval
from fpo_jax.types import Cost, Game, Key, State

STATIONARY = 1e-6
"""A point with ‖∂L/∂φ‖ up to this counts as stationary."""


def few_seeds(seeds: int) -> list[str]:
    """Return a list with a warning if there are too few seeds for intervals of means, else []."""
    of = f"{counted(seeds, 'seed')}: with fewer than {FEW}"
    few = f"{of} a 95 % interval may cover far less where values are skewed"
    return [few] if 1 < seeds < FEW else []


def execute(
    settings: Settings,
    keep_states: bool = False,
    save_states: bool = False,
    tell: Tell = silent,
    watch: Watch | None = None,
    partway: Partway | None = None,
) -> Result:
    """Run the settings over all their seeds at once, with the programs of `fpo_jax.engine.runs.run_by`.

    If the objective solves a linear system, the result has cautions about the solve.

    Args:
        settings: the settings to run.
        keep_states: keep states for pages and figures that show how a policy moved, if there are any such
            and the states fit in memory.
        save_states: return the states of all seeds at every entry.
        tell: receives progress.
        watch: receives each finished segment of the iterations (`fpo_jax.engine.segments`).
        partway: the point at which an earlier run of these settings stopped, to continue from there.

    Raises:
        InputError: as `fpo_jax.run_seeds`.
        Diverged: when no seed stayed finite.
    """
    environment, leader, follower = settings.build()
    with in_precision(settings.precision):
        keep_states = save_states or (keep_states and worth_keeping(settings))
        objective, devices = settings.names.objective, jax.local_devices()
        how: dict[str, Any] = {
            "devices": devices,
            "steps": settings.steps,
            "record": RECORDS[settings.record],
            "keep_states": keep_states,
            "prepare": partial(kept_programs.prepare_kept, settings.static()),
        }
        require_memory(environment, leader, follower, keys_of(settings.seeds), **how)
        keys = seed_keys(settings.seeds, settings.seed)
        running = f"running {objective}"
        words = {
            begin_runs: "how runs begin",
            iterations(len(keys), devices): f"the iterations of {objective}",
        }
        call = telling(partial(kept_programs.call_kept, settings.static()), tell, words, then=running)

        def watching(partway: Partway) -> None:
            if watch is not None:
                watch(partway)
            tell(running, partway.done / partway.entries)

        beginning, final, trace = run_by(
            call,
            *(environment, leader, follower, keys),
            **how,
            watch=watching,
            partway=partway,
        )
        games, _, optimum = jax.tree.map(lambda leaf: leaf[: settings.seeds], beginning)
        first_bad = first_divergence(trace)
        cautions = tuple(_cautions(settings, games, final, first_bad))
    seeds = settings.seed + np.arange(settings.seeds)
    good = first_bad < 0

    def kept(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: np.asarray(leaf)[good], tree)

    result = Result(
        settings=settings,
        seeds=seeds[good],
        metrics=kept(trace.metrics),
        games=kept(games),
        optimum=kept(optimum),
        final=kept(final),
        diverged={int(s): int(t) for s, t in zip(seeds, first_bad, strict=True) if t >= 0},
        cautions=cautions,
        kept=None if trace.state is None else at_shown(trace.state, int(np.argmax(good)), settings.steps),
        every_state=kept(trace.state) if save_states else None,
    )
    if not good.any():
        raise Diverged("; ".join([f"every seed {result.divergence()}", *result.cautions]))
    return result


def _cautions(settings: Settings, games: Game, final: State, first_bad: np.ndarray) -> Iterator[str]:
    """Yield a line for each problem of an implicit gradient: an inapplicable theorem, or a failed solve."""
    environment, leader, follower = settings.build()
    objective = leader.objective
    if not objective.solves:
        return
    keys = seed_keys(settings.seeds, settings.seed)

    @jax.jit
    @jax.vmap
    def cost(game: Game, key: Key, state: State) -> Cost:
        return objective.estimate(game.at(1.0), follower, state.theta, state.reward_model, key).cost

    slopes = np.asarray(cost(games, keys, final).slope)[first_bad < 0]
    if slopes.size and slopes.max() > STATIONARY:
        yield (
            "the implicit gradient is approximate: φ⁺ is no stationary point of the follower's loss (‖∂L/∂φ‖ "
            f"up to {slopes.max():.1e} at the end)"
        )
    if (first_bad > 0).any():
        index = int(np.argmax(first_bad > 0))
        iteration = int(first_bad[index]) - 1
        _, trace = run_seeds(
            environment,
            leader,
            follower,
            keys[index : index + 1],
            steps=settings.steps,
            record=outcome,
            keep_states=True,
        )
        before = jax.tree.map(lambda leaf: leaf[:, iteration], trace.state)
        game = jax.tree.map(lambda leaf: leaf[index : index + 1], games)
        residual = float(cost(game, keys[index : index + 1], before).residual[0])
        yield (
            f"the relative residual of the linear solve before seed {settings.seed + index} diverged, at "
            f"iteration {iteration}, was {residual:.1e}"
        )


def summary(result: Result) -> dict[str, Any]:
    """Summarise a run as one flat dictionary: means over the finite seeds, intervals, and settings.

    `*_ci95` are studentised bootstrap intervals over seeds, and a Wilson interval for `collapse_rate`, the
    share of seeds that collapsed (`fpo_jax.statistics.collapsed`). `calibrated_weight` is the
    penalty weight that matches the follower in scale, 2·lr·α·k, or null if none does. A metric that is
    undefined for some seeds is averaged over the others, whose number is then `*_n`. One that is always
    undefined is null.
    """
    settings = result.settings
    _, leader, follower = settings.build()
    horizon = leader.objective.horizon
    finals = {
        "true_utility_final": result.metrics["true_utility"][:, -1],
        "true_utility_peak": result.metrics["true_utility"].max(axis=1),
        "proxy_reward_final": result.metrics["proxy_reward"][:, -1],
        "blind_spot_mass_final": result.metrics["blind_spot_mass"][:, -1],
    } | {
        f"{name}_final": values[:, -1]
        for name, values in result.metrics.items()
        if name not in ("true_utility", "proxy_reward", "blind_spot_mass")
    }
    report: dict[str, Any] = {
        "environment": settings.names.environment,
        "objective": settings.names.objective,
        "follower": settings.names.follower,
        "seeds": settings.seeds,
        "seeds_reported": len(result.seeds),
        "diverged": [{"seed": s, "iteration": t} for s, t in result.diverged.items()],
        "steps": settings.steps,
        "optimum": _defined(float(result.optimum.mean())),
        "weight": settings.values.get("weight"),
        "calibrated_weight": follower.calibrated_weight(horizon),
    }
    for name, values in finals.items():
        estimate = mean_interval(values)
        if estimate.n < len(values):
            report[f"{name}_n"] = estimate.n
        report[name] = _defined(estimate.mean)
        report[f"{name}_ci95"] = [_defined(estimate.low), _defined(estimate.high)]
    share = share_interval(result.collapsed)
    return report | {"collapse_rate": share.mean, "collapse_rate_ci95": [share.low, share.high]}


def _defined(value: float) -> float | None:
    return value if np.isfinite(value) else None
