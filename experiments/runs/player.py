"""What a page plays of runs: a policy over its places, or seeds on a plane. Paper cannot play.

One idea: at each iteration an array over the places of a grid, or one dot a seed; a panel for each method.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fpo_jax.experiments.report.parts import MOST_PANELS, Player, numbers
from fpo_jax.experiments.runs.execution import Result
from fpo_jax.experiments.runs.figures import TITLES
from fpo_jax.experiments.runs.history import shown_iterations

PLANES = (("signal_norm", "noise_norm"), ("true_utility", "proxy_reward"))
"""Planes on which seeds are shown where a policy has no places: the first of which both metrics are there."""
MOST_DOTS = 64
"""Seeds that are shown on a plane."""
UNREACHED = 1e-12
"""A place whose weight never exceeds this cannot be reached, such as a wall."""


def play_results(results: Mapping[str, Result]) -> Player:
    """Return the player of runs: the first seed's policy over its places, or every seed on a plane."""
    shown = dict(list(results.items())[:MOST_PANELS])
    if len({result.settings.steps for result in shown.values()}) > 1:
        return None, "Nothing is played here: the methods ran for different numbers of iterations."
    shots = {label: result.snapshots for label, result in shown.items()}
    if any(shot is None for shot in shots.values()):
        first = next(iter(results.values()))
        return play_seeds(
            {label: r.metrics for label, r in shown.items()}, np.arange(first.settings.steps + 1)
        )
    panels = []
    for label, shot in shots.items():
        assert shot is not None
        places = shot.weights.max(axis=0)
        panels.append(
            {
                "method": label,
                "kind": "bars" if len(shot.axes) == 1 else "map",
                "axes": list(shot.axes),
                "frames": numbers(np.round(shot.weights, 5)),
                "titles": [f"E[U] = {u:.2f}" for u in shot.true_utility],
                "marked": (shot.blind_spot > 0.5).tolist(),
                "unreached": (places <= UNREACHED).tolist(),
                "utility": numbers(shot.utility),
                "unit": "share of the policy",
            }
        )
    one = next(shot for shot in shots.values() if shot)
    largest = max(float(np.max(panel["frames"])) for panel in panels)
    name = " × ".join(f"{axis}s" for axis in one.axes)
    seeds = sorted({int(result.seeds[0]) for result in shown.values()})
    what = (
        f"The policy of seed {', '.join(map(str, seeds))}, spread over its {name}. Orange marks the blind "
        "spot, which the reward model's offline data do not show. "
    )
    what += (
        "Bars: share of the policy. Grey dots: true utility of each, highest at the best."
        if len(one.axes) == 1
        else "The stronger the colour, the larger the share of the policy, by its square root. ★: highest U."
    )
    return {"iterations": one.iterations.tolist(), "limits": [0.0, largest], "panels": panels}, what


def play_seeds(metrics: Mapping[str, Mapping[str, np.ndarray]], steps: np.ndarray) -> Player:
    """Return the player of seeds on a plane, from the metrics of each method, [seed, entry]."""
    if not metrics:
        return None, "Nothing is played here: every run diverged."
    x, y = next(plane for plane in PLANES if all(set(plane) <= set(m) for m in metrics.values()))
    entries = shown_iterations(len(steps) - 1)
    panels = []
    for label, values in metrics.items():
        both = [values[name][:MOST_DOTS, entries].T for name in (x, y)]
        means = values["true_utility"][:, entries].mean(axis=0)
        panels.append(
            {
                "method": label,
                "kind": "dots",
                "frames": numbers(np.stack(both, axis=1)),
                "titles": [f"E[U] = {u:.2f}" for u in means],
            }
        )
    ends = np.concatenate(
        [np.stack([m[x], m[y]])[:, :, entries].reshape(2, -1) for m in metrics.values()], axis=1
    )
    low, high = ends.min(axis=1), ends.max(axis=1)
    room = 0.06 * np.where(high > low, high - low, 1.0)
    player: dict[str, Any] = {
        "iterations": [int(steps[i]) for i in entries],
        "panels": panels,
        "titles": [TITLES[x], TITLES[y]],
        "ranges": numbers(np.stack([low - room, high + room], axis=1)),
        "diagonal": (x, y) == PLANES[-1],
    }
    what = "This policy has no fixed places to be shown on, so each dot is one seed, moving over iterations. "
    what += (
        "On the dotted line the proxy reward is the true utility; above it, the reward model is exploited."
        if player["diagonal"]
        else "To the right the policy takes up the signal, upwards it drifts into noise, the blind spot here."
    )
    return player, what
