"""Charts and the figure of a run of the pipeline."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.experiments.llm.settings import TrainSettings
from fpo_jax.plotting import Axis, Chart, Level, Line, Mark, Style

OBJECTIVE_OF = {"rlhf": "myopic"}
"""Names of the modes elsewhere, if they differ."""
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
    """Return the winner's reward, its utility by the oracle, the penalty, and the distance of the policy.

    Then the agreement of reward model and oracle on the order of answers, and the spread of rewards.
    """
    style, width = style_of(settings), smoothed_over(settings)
    grey = Style("#777777")

    def smooth(name: str, style: Style, label: str = "") -> Line:
        values = np.convolve(measured[name][0], np.full(width, 1.0 / width), mode="valid")
        return Line(np.arange(width - 1, width - 1 + len(values)), values, style, label)

    def each(name: str) -> Line:
        values = measured[name][0]
        return Line(np.arange(len(values)), values, Style(style.color), width=0.8, faint=True)

    drawn = [
        Chart(title, [each(name), smooth(name, style, settings.mode)], Axis("prompt"))
        for name, title in TITLES.items()
    ]
    agreement: list[Mark] = [
        each("on_policy_accuracy"),
        smooth("on_policy_accuracy", style, settings.mode),
        Level(0.5),
    ]
    title = "pairs in the oracle's order"
    if "held_out_accuracy" in measured:
        agreement.append(smooth("held_out_accuracy", grey))
        title += " (grey: held out)"
    drawn.append(Chart(title, agreement, Axis("prompt")))
    spreads = [smooth("reward_spread", style, settings.mode), smooth("utility_spread", grey)]
    drawn.append(Chart("spread among candidates: r (grey: U)", spreads, Axis("prompt")))
    return drawn


def smoothed_over(settings: TrainSettings) -> int:
    """Return the number of prompts over which the bold lines average."""
    return max(1, settings.steps // 20)


def draw(settings: TrainSettings, measured: Mapping[str, np.ndarray], weight: float) -> Figure:
    """Draw the charts of a run, with the weight of its penalty in the heading."""
    width = smoothed_over(settings)
    average = "" if width == 1 else f"; bold: mean of the last {width}"
    weighted = "" if settings.mode == "rlhf" else f", weight {weight:.4g}"
    drawn = charts(settings, measured)
    heading = f"{settings.mode}{weighted}: one prompt a step{average}"
    return plotting.figure([drawn[:2], drawn[2:4], drawn[4:]], heading, legend="none")
