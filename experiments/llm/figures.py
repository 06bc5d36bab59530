"""Charts and the figure of a run of the pipeline."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.experiments.llm.settings import TrainSettings
from fpo_jax.plotting import Axis, Chart, Line, Style

OBJECTIVE_OF = {"rlhf": "myopic"}
"""Names of the modes elsewhere, where they differ."""
TITLES = {
    "proxy_reward": "proxy reward of the winner",
    "true_utility": "oracle's reward of the winner",
    "penalty": "what the penalty takes from the winner",
    "kl": "log π_θ − log π_ref of a candidate (nats)",
}


def style_of(settings: TrainSettings) -> Style:
    """Return the style of a run, that of its objective."""
    return plotting.styles({"run": OBJECTIVE_OF.get(settings.mode, settings.mode)})["run"]


def charts(settings: TrainSettings, measured: Mapping[str, np.ndarray]) -> list[Chart]:
    """Return the winner's pay, the oracle's view of it, the penalty, and how far the policy has gone."""
    style, width = style_of(settings), smoothed_over(settings)
    drawn = []
    for name, title in TITLES.items():
        values = measured[name][0]
        each = Line(np.arange(len(values)), values, Style(style.color), width=0.8, faint=True)
        smooth = np.convolve(values, np.full(width, 1.0 / width), mode="valid")
        mean = Line(np.arange(width - 1, len(values)), smooth, style, settings.mode)
        drawn.append(Chart(title, [each, mean], Axis("prompt")))
    return drawn


def smoothed_over(settings: TrainSettings) -> int:
    """Return over how many prompts the bold lines are means."""
    return max(1, settings.steps // 20)


def draw(settings: TrainSettings, measured: Mapping[str, np.ndarray]) -> Figure:
    """Draw the four charts of a run."""
    width = smoothed_over(settings)
    average = "" if width == 1 else f"; bold: mean of the last {width}"
    weight = "" if settings.mode == "rlhf" else f", weight {settings.weight:g}"
    one, two, three, four = charts(settings, measured)
    heading = f"{settings.mode}{weight}: one prompt a step{average}"
    return plotting.figure([[one, two], [three, four]], heading, legend="none")
