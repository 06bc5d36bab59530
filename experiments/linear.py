"""Claim: in the paper's linear environment RLHF overshoots into noise, and enough foresight prevents it."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.engine.initial import seed_keys
from fpo_jax.envs.linear import Linear
from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.runs import figures
from fpo_jax.experiments.runs.experiment import Experiment
from fpo_jax.experiments.runs.result import Result
from fpo_jax.types import RewardModel

PHASE_PANELS = ("RLHF", "practical 0.1", "relaxed 0.1", "exact, k = 10")
TRAJECTORIES = 8


def draw_figures(results: Mapping[str, Result]) -> dict[str, plotting.Picture]:
    """Return the curves over iterations and the phase plot."""
    first = next(iter(results.values()))
    levels = {
        "true_utility": (float(first.optimum.mean()), "ideal"),
        "noise_norm": (0.0, "ideal"),
        "signal_norm": (_ideal_signal(first), "ideal"),
    }
    curves = figures.curves(results, levels, "linear environment")
    return {"curves": curves, "phase": _phase_plot(results)}


def _phase_plot(results: Mapping[str, Result]) -> Figure:
    """Draw the ascent field of each method in the plane of signal and noise, at its first seed's final φ.

    The plane is spanned by the direction of the ideal and by the noise of the first seed's final policy. The
    field is the gradient of the method's objective, projected on the plane.
    """
    figure, axes = plotting.panels(2, 2, sharex=True, sharey=True)
    figure.set_size_inches(7.0, 6.4)
    shown = {label: results[label] for label in PHASE_PANELS}
    reach = 1.12 * max(r.metrics["signal_norm"].max() for r in shown.values())
    height = 1.15 * max(r.metrics["noise_norm"][:TRAJECTORIES].max() for r in shown.values())
    grid = np.meshgrid(np.linspace(0.0, reach, 81), np.linspace(0.0, height, 61))
    styles = figures.method_styles(results)
    seeds = next(iter(shown.values())).seeds[:TRAJECTORIES]
    for ax, (label, result) in zip(axes.flat, shown.items(), strict=True):
        field, utility = _field(result, grid)
        trajectories = [
            (result.metrics["signal_norm"][i], result.metrics["noise_norm"][i]) for i in range(len(seeds))
        ]
        plotting.phase(ax, (grid[0], grid[1]), field, utility, trajectories, styles[label], label)
        ideal = _ideal_signal(result)
        ax.plot(ideal, 0.0, "*", color="black", markersize=11, clip_on=False)
        ax.axvline(ideal, color="black", linestyle="--", linewidth=0.8)
        ax.set_xlim(0.0, reach)
        ax.set_ylim(0.0, height)
    for ax in axes[1]:
        ax.set_xlabel("signal norm")
    for ax in axes[:, 0]:
        ax.set_ylabel("noise norm")
    figure.suptitle(
        "grey: true utility (dark is high) and the computed ascent field at the final reward model\n"
        f"(seed {seeds[0]}); colour: trajectories of {len(seeds)} seeds; star and dashes: the ideal",
        fontsize=9,
    )
    return figure


def _ideal_signal(result: Result) -> float:
    environment, _, _ = result.settings.build()
    assert isinstance(environment, Linear)
    return float(jnp.linalg.norm(environment.ideal))


def _field(result: Result, grid: Sequence[np.ndarray]) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Return the projected gradient of the method's objective, and true utility, on the grid."""
    game, leader, follower = result.settings.build()
    assert isinstance(game, Linear)  # the same game for every seed
    key = seed_keys(1, int(result.seeds[0]))[0]
    reward_model = RewardModel(*jax.tree.map(lambda leaf: leaf[0], result.final.reward_model))
    noise = jnp.asarray(result.final.theta)[0] * (1.0 - game.is_signal)
    axes = jnp.stack([game.ideal / jnp.linalg.norm(game.ideal), noise / jnp.linalg.norm(noise)])

    def at(signal: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
        y = jnp.stack([signal, noise]) @ axes
        gradient = leader.differentiator.gradient(
            lambda t: leader.objective.value(game, follower, t, reward_model, key), y
        )
        return axes @ gradient, game.utility(y)

    with in_precision(result.settings.precision):
        field, utility = jax.jit(jax.vmap(jax.vmap(at)))(*map(jnp.asarray, grid))
    return (np.asarray(field[..., 0]), np.asarray(field[..., 1])), np.asarray(utility)


EXPERIMENT = Experiment(
    name="linear",
    claim=(
        "RLHF overshoots the signal and keeps its noise. Practical FPO helps a little. Relaxed FPO at the "
        "published weight 0.1 reaches the ideal. That weight amounts to ten follower steps (2·lr·k = 0.1): "
        "exact foresight over ten steps reaches the ideal too, and over one step it does not. Relaxed FPO "
        "owes nearly all of its gain over practical FPO to ∂U/∂y: with U detached it ends no better."
    ),
    methods={
        "RLHF": {"environment": "linear", "objective": "myopic"},
        "practical 0.1": {"environment": "linear", "objective": "practical"},
        "relaxed 0.1": {"environment": "linear", "objective": "relaxed"},
        "relaxed 0.1, U detached": {
            "environment": "linear",
            "objective": "relaxed",
            "utility": "detached",
        },
        "exact, k = 1": {"environment": "linear", "objective": "exact"},
        "exact, k = 10": {"environment": "linear", "objective": "exact", "horizon": 10},
    },
    figures=draw_figures,
)
