"""Claim: in the paper's neural environment every method collapses in some seeds at the published weight."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.engine.initial import seed_keys
from fpo_jax.engine.runs import run_seeds
from fpo_jax.envs.neural import Neural
from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.runs import figures
from fpo_jax.experiments.runs.experiment import Experiment
from fpo_jax.experiments.runs.result import Result
from fpo_jax.plotting import Axis, Chart, Points
from fpo_jax.statistics import FALL, LOW, share_gained
from fpo_jax.types import Follower, Game, Key, Scalar, State

COMMON = {"environment": "neural", "objective": "fpo", "precision": "float32"}
METHODS: dict[str, dict[str, Any]] = {  # one compiled program for all of them
    "RLHF": {**COMMON, "weight": 0.0},
    "relaxed 0.005": {**COMMON, "weight": 0.005, "oracle": 1.0},
    "practical 0.005": {**COMMON, "weight": 0.005, "oracle": 0.0},
}
TRAJECTORIES = 3


def draw_figures(results: Mapping[str, Result]) -> dict[str, plotting.Picture]:
    """Return the paper's figures, which are curves and trajectories, and the outcome of each seed."""
    best = float(next(iter(results.values())).optimum.mean())
    levels = {"true_utility": (best, "peak"), "gap": (0.0, "peak"), "noise_norm": (0.0, "peak")}
    styles = figures.styles_by_first_word(results)
    curves = figures.curves(results, levels, "neural environment, published settings", styles)
    return {"curves": curves, "trajectories": draw_trajectories(results), "seeds": draw_seeds(results)}


def draw_seeds(results: Mapping[str, Result]) -> Figure:
    """Draw the distribution of final utility, and each seed: end against peak, proxy against truth."""
    styles = figures.styles_by_first_word(results)
    dots = []
    for label, result in results.items():
        utility, reward = (result.metrics[name][:, -1] for name in ("true_utility", "proxy_reward"))
        dots.append(Points(utility, reward, styles[label], label, size=2.8))
    first = next(iter(results.values()))
    line = plotting.diagonal(float(first.optimum.mean()))
    proxy = Chart(
        "each seed: proxy against truth", [*dots, line], Axis(figures.END), Axis("proxy reward, final")
    )
    charts = [figures.distribution(results, styles), figures.end_against_peak(results, styles), proxy]
    return plotting.figure([charts], f"neural environment, {len(first.seeds)} paired seeds")


def draw_trajectories(results: Mapping[str, Result]) -> Figure:
    """Draw trajectories of the mean action, projected on the plane of their first two principal components.

    The components are fitted to the trajectories of all methods. The background is true utility on the plane,
    which passes through the mean of the trajectories.
    """
    first = next(iter(results.values()))
    count = min(TRAJECTORIES, len(first.seeds))
    paths = {label: _paths(result, count) for label, result in results.items()}
    every = np.concatenate([path.reshape(-1, path.shape[-1]) for path in paths.values()])
    centre = every.mean(axis=0)
    _, sizes, directions = np.linalg.svd(every - centre, full_matrices=False)
    plane, explained = directions[:2], sizes[:2] ** 2 / np.sum(sizes**2)
    flat = {label: (path - centre) @ plane.T for label, path in paths.items()}
    ends = np.concatenate([f.reshape(-1, 2) for f in flat.values()])
    low, high = ends.min(axis=0) - 0.3, ends.max(axis=0) + 0.3
    grid = np.meshgrid(np.linspace(low[0], high[0], 81), np.linspace(low[1], high[1], 81))
    game = first.settings.build()[0]
    assert isinstance(game, Neural)
    points = centre + np.stack(grid, axis=-1) @ plane
    utility = np.asarray(jax.jit(jax.vmap(jax.vmap(game.utility)))(points))
    figure, axes = plotting.panels(1, len(results), sharex=True, sharey=True)
    for ax, (label, style) in zip(axes[0], figures.styles_by_first_word(results).items(), strict=True):
        plotting.landscape(ax, (grid[0], grid[1]), utility, list(flat[label]), style, label)
        peak = (np.asarray(game.ideal) - centre) @ plane.T
        ax.plot(*peak, "*", color="black", markersize=9, clip_on=False)
        ax.set_xlabel(f"component 1 ({explained[0]:.0%} of variance)")
    axes[0, 0].set_ylabel(f"component 2 ({explained[1]:.0%})")
    figure.suptitle(
        f"mean actions of {count} seeds; grey: true utility on the plane (dark is high); star: the peak, "
        "projected on it",
        fontsize=9,
    )
    return figure


def _paths(result: Result, count: int) -> np.ndarray:
    """Return the mean action of the first seeds over iterations, [seed, entry, dimension]."""
    environment, leader, follower = result.settings.build()
    steps, seed = result.settings.steps, result.settings.seed
    with in_precision(result.settings.precision):
        _, trace = run_seeds(
            environment, leader, follower, seed_keys(count, seed), steps=steps, record=_mean_action
        )
    return np.stack(list(trace.metrics.values()), axis=-1)[:, :: max(steps // 400, 1)]


def _mean_action(game: Game, follower: Follower, state: State, key: Key) -> dict[str, Scalar]:
    return {f"theta_{i}": coordinate for i, coordinate in enumerate(state.theta)}


def findings(results: Mapping[str, Result]) -> str:
    """Say how many seeds of each method fall from their peak, and how many gain too little."""
    lines = []
    for label, result in results.items():
        gained = share_gained(result.metrics["true_utility"], result.optimum)
        fell, low = gained[:, -1] < FALL * gained.max(axis=1), gained[:, -1] < LOW
        lines.append(
            f"- {label}: of {fell.size} seeds {fell.sum()} end with less than {FALL:.0%} of their largest "
            f"gain, {low.sum()} with less than {LOW:.0%} of the possible gain."
        )
    return "\n".join(lines)


EXPERIMENT = Experiment(
    name="neural",
    claim=(
        "In the paper's neural environment, at the published settings, every method collapses in some seeds. "
        "RLHF collapses in most of them. Relaxed and practical FPO at the published weight 0.005 help on "
        "average, and still collapse in a good share of seeds. Rounding decides the outcome of a single "
        "seed, so only the distribution over seeds means anything."
    ),
    methods=METHODS,
    figures=draw_figures,
    seeds=64,
    long=True,
    findings=findings,
    every=20,
)
