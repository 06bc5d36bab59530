"""The animation on a page of runs: a policy over its places, or seeds on a plane.

There is a panel for each method. At each iteration it shows an array over places, or one dot for each seed.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fpo_jax.experiments.report.parts import MOST_PANELS, Player, numbers
from fpo_jax.experiments.runs.figures import TITLES
from fpo_jax.experiments.runs.history import shown_iterations
from fpo_jax.experiments.runs.result import Result

PLANES = (("signal_norm", "noise_norm"), ("true_utility", "proxy_reward"))
"""Planes for the seeds of policies without places. The first plane whose two metrics all runs have is used.
"""
MOST_DOTS = 64
"""Most seeds that a plane shows."""
UNREACHED = 1e-12
"""A place whose weight never exceeds this counts as unreachable, such as a wall."""


def play_results(results: Mapping[str, Result]) -> Player:
    """Return the player of runs: the first seed's policy over its places, or all seeds on a plane.

    Args:
        results: by label of the method. At most `MOST_PANELS` are played.
    """
    shown = dict(list(results.items())[:MOST_PANELS])
    if len({result.settings.steps for result in shown.values()}) > 1:
        return None, "Nothing is played here: the methods have different numbers of iterations."
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
        f"The policy of seed {', '.join(map(str, seeds))} over its {name}. Orange marks the blind spot, "
        "which is missing from the reward model's offline data. "
    )
    what += (
        "Bars: share of the policy. Grey dots: true utility of each place."
        if len(one.axes) == 1
        else "A stronger colour means a larger share of the policy (square-root scale). ★: highest U."
    )
    return {"iterations": one.iterations.tolist(), "limits": [0.0, largest], "panels": panels}, what


def play_seeds(metrics: Mapping[str, Mapping[str, np.ndarray]], steps: np.ndarray) -> Player:
    """Return the player of seeds on a plane.

    Args:
        metrics: [seed, entry] each, by label of the method and name of the metric.
        steps: [entry] iterations of the entries.
    """
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
    what = "The responses of this policy have no fixed places, so each dot is one seed. "
    what += (
        "On the dotted line the proxy reward equals the true utility. Above it the reward model overrates."
        if player["diagonal"]
        else "To the right the policy takes up signal. Upwards it drifts into noise, the blind spot here."
    )
    return player, what
