"""Claim: on a gridworld with planted decoys RLHF ends on a decoy, and the steering term prevents it."""

from collections.abc import Mapping

import jax
import numpy as np
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.envs.gridworld import MOVES, GridworldGame
from fpo_jax.experiments.runs import figures
from fpo_jax.experiments.runs.experiment import Experiment
from fpo_jax.experiments.runs.result import Result

BESIDE_RLHF = "exact"


def draw_figures(results: Mapping[str, Result]) -> dict[str, plotting.Picture]:
    """Return the curves over iterations, a map for each method, and RLHF beside FPO as an animation."""
    best = float(next(iter(results.values())).optimum.mean())
    levels = {"true_utility": (best, "reachable optimum"), "proxy_reward": None, "blind_spot_mass": None}
    shown = {label: results[label] for label in ("RLHF", BESIDE_RLHF)}
    return {
        "curves": figures.curves(results, levels, "gridworld with planted decoys"),
        "map": draw_map(results),
        "motion": draw_motion(shown),
    }


def of_run(results: Mapping[str, Result]) -> dict[str, plotting.Picture]:
    """Return the map and the animation of any run on a gridworld."""
    return {"map": draw_map(results), "motion": draw_motion(results)}


def draw_map(results: Mapping[str, Result]) -> Figure:
    """Draw the grid of the first seed: its utility, then final occupancy and greedy moves of each method."""
    first = next(iter(results.values()))
    game, theta = {}, {}
    for label, result in results.items():
        game[label], theta[label] = jax.tree.map(lambda leaf: leaf[0], (result.games, result.final.theta))
    reference = next(iter(game.values()))
    occupancy = {label: _occupancy(result) for label, result in results.items()}
    scale = max(float(o.max()) for o in occupancy.values())
    figure, axes = plotting.grid_panels(1 + len(results), _shape(reference))
    utility = np.asarray(reference.pairs.utility[:, 0]).reshape(_shape(reference))
    plotting.grid_map(axes[0], utility, reference.layout, "true utility, in % of the goal's", "Greens")
    for ax, label in zip(axes[1:], results, strict=True):
        reached = float(results[label].metrics["true_utility"][0, -1])
        title = f"{label}: E[U] = {reached:.2f}"
        image = plotting.grid_map(ax, occupancy[label], game[label].layout, title, "Purples", scale)
        if max(_shape(reference)) > plotting.WRITTEN:
            figure.colorbar(image, ax=ax, shrink=0.8)
        plotting.grid_arrows(ax, theta[label].reshape(*occupancy[label].shape, -1), MOVES, game[label].layout)
    figure.suptitle(
        f"final occupancy in % of steps, and greedy moves\n"
        f"seed {first.seeds[0]}; optimum {float(first.optimum[0]):.2f}",
        fontsize=9,
    )
    return figure


def draw_motion(results: Mapping[str, Result]) -> plotting.Motion:
    """Animate the occupancy of the first seed over iterations, with a panel for each method."""
    shots = {label: result.snapshots for label, result in results.items()}
    games = {label: jax.tree.map(lambda leaf: leaf[0], result.games) for label, result in results.items()}
    scale = max(float(shot.weights.max()) for shot in shots.values() if shot)
    iterations = next(shot.iterations for shot in shots.values() if shot)
    figure, axes = plotting.grid_panels(len(results), _shape(next(iter(games.values()))))

    def draw(frame: int) -> None:
        for ax, (label, shot) in zip(axes, shots.items(), strict=True):
            assert shot is not None  # a grid has places
            ax.clear()
            title = f"{label}: E[U] = {shot.true_utility[frame]:.2f}"
            plotting.grid_map(ax, shot.weights[frame], games[label].layout, title, "Purples", scale)
        figure.suptitle(f"occupancy in % of steps, iteration {iterations[frame]}", fontsize=9)

    return plotting.Motion(figure, draw, len(iterations))


def _shape(game: GridworldGame) -> tuple[int, int]:
    rows, columns = game.layout.wall.shape
    return rows, columns


def _occupancy(result: Result) -> np.ndarray:
    """Return the share of steps that the first seed's final policy spends in each cell, [rows, columns]."""
    assert result.snapshots is not None  # a grid has places
    return result.snapshots.weights[-1]


EXPERIMENT = Experiment(
    name="gridworld",
    claim=(
        "RLHF walks to a decoy, which glitters more than the goal, and stays there. On average over seeds "
        "true utility falls below 5 % of the reachable optimum, though a few seeds keep more. The exact "
        "steering term and relaxed FPO keep more than 90 % of it. Practical FPO lies between."
    ),
    methods={
        "RLHF": {"environment": "gridworld", "objective": "myopic"},
        "exact": {"environment": "gridworld", "objective": "exact"},
        "relaxed 0.3": {"environment": "gridworld", "objective": "relaxed"},
        "practical 0.1": {"environment": "gridworld", "objective": "practical"},
    },
    figures=draw_figures,
    seeds=32,
    of_run=of_run,
)
