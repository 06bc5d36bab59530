"""Claim: RLHF teaches an autoregressive policy to flatter, and with the steering term it answers right."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.envs.language import LanguageGame
from fpo_jax.envs.parts.words import is_flattery, question, repeated, text
from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.ladder import sampled
from fpo_jax.experiments.runs import figures
from fpo_jax.experiments.runs.experiment import Experiment
from fpo_jax.experiments.runs.result import Result
from fpo_jax.plotting import Axis, Chart, Level
from fpo_jax.statistics import mean_interval
from fpo_jax.types import Theta

SHOWN = ("RLHF", "exact")
MOST_LIKELY = 4
"""Number of texts that a figure shows for each prompt."""
ENTRIES = 21
"""Number of iterations at which curves and their intervals are drawn."""
COMMON: dict[str, Any] = {"environment": "language", "precision": "float32"}
WEIGHTED = ("relaxed", "practical", "proximal", "tracin")
WEIGHTS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""The grid on which the recipe's weights were chosen, the same for each method."""


def draw_figures(results: Mapping[str, Result]) -> dict[str, plotting.Picture]:
    """Return figures of curves, of the likeliest texts, and of the errors of sampled estimates."""
    return {
        "curves": _curves(results),
        "texts": _texts(results),
        "sampled": sampled.draw_figure(results["RLHF"]),
    }


def _curves(results: Mapping[str, Result]) -> Figure:
    styles = figures.method_styles(results)
    charts = []
    for name in ("true_utility", "blind_spot_mass", "proxy_reward"):
        lines = []
        for label, result in results.items():
            values = result.metrics[name]
            places = np.unique(np.round(np.linspace(0, values.shape[1] - 1, ENTRIES)).astype(int))
            lines.append(plotting.against(places, mean_interval(values[:, places].T), label, styles[label]))
        charts.append(Chart(figures.TITLES[name], lines, Axis("iteration"), Axis(limits=(0.0, None))))
    utility, *others = charts
    n = len(next(iter(results.values())).seeds)
    heading = f"language, every text enumerated; mean of {n} seeds, band: its 95 % interval"
    return plotting.figure([[utility.with_marks(Level(1.0, "best answers")), *others]], heading)


def likeliest(result: Result) -> dict[str, list[tuple[float, str, float, float]]]:
    """Return the likeliest texts of the first seed's final policy, by question.

    Each is (probability, text, U, blind-spot membership), the likeliest first.
    """
    game, theta = jax.tree.map(lambda leaf: leaf[0], (result.games, result.final.theta))
    assert isinstance(game, LanguageGame)
    assert game.every is not None  # enumerated by the recipe
    with in_precision(result.settings.precision):
        policy = np.exp(np.asarray(jax.jit(lambda g, t: g.log_policy(t))(game, theta)))
    answers = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(*policy.shape, *leaf.shape[1:]), game.every)
    return {
        question(x): [
            (
                float(policy[x, i]),
                text(answers.tokens[x, i]),
                float(answers.quality[x, i]),
                float(answers.padding[x, i]),
            )
            for i in np.argsort(-policy[x])[:MOST_LIKELY]
        ]
        for x in range(game.prompts)
    }


def _texts(results: Mapping[str, Result]) -> Figure:
    """Write the likeliest texts of RLHF and of exact foresight side by side."""
    figure, axes = plotting.panels(1, len(SHOWN))
    figure.set_size_inches(9.0, 2.9)
    styles = figures.method_styles(results)
    for ax, label in zip(axes[0], SHOWN, strict=True):
        _write(ax, likeliest(results[label]), label, styles[label].color)
    seed = results[SHOWN[0]].seeds[0]
    figure.suptitle(
        f"likeliest answers at the end, seed {seed}: probability, answer, true utility", fontsize=9
    )
    return figure


def _write(
    ax: Axes, answers: Mapping[str, list[tuple[float, str, float, float]]], label: str, ink: str
) -> None:
    ax.set_axis_off()
    ax.set_title(label, fontsize=plotting.TITLE_SIZE, color=ink, loc="left")
    lines = sum(1 + len(rows) for rows in answers.values())
    line = 0
    for asked, rows in answers.items():
        ax.text(0.0, 1 - line / lines, asked, size=8, weight="bold", va="top", transform=ax.transAxes)
        for row, (share, answer, quality, _) in enumerate(rows, start=line + 1):
            height = 1 - row / lines
            for place, words, side in (
                (0.09, f"{share:.2f}", "right"),
                (0.12, answer, "left"),
                (0.99, f"U = {quality:.2f}", "right"),
            ):
                ax.text(place, height, words, size=8, ha=side, va="top", transform=ax.transAxes)
        line += 1 + len(rows)


@jax.jit
@jax.vmap
def _habits(game: LanguageGame, theta: Theta) -> Array:
    assert game.every is not None  # enumerated by the recipe
    policy = jnp.exp(game.log_policy(theta)).reshape(-1) / game.prompts
    flattery = jnp.sum(is_flattery(game.every.tokens), axis=1)
    again = jax.vmap(lambda y: jnp.any(repeated(y)))(game.every.tokens)
    shares = jnp.stack([flattery, flattery > 1, again, (flattery > 1) | again]).astype(policy.dtype)
    return shares @ policy


def findings(results: Mapping[str, Result]) -> str:
    """Describe the final policies: habits averaged over seeds, and the first seed's likeliest answers."""
    lines = []
    for label, result in results.items():
        with in_precision(result.settings.precision):
            words, twice, again, either = np.mean(_habits(result.games, result.final.theta), axis=0)
        lines.append(
            f"{label}: {words:.2f} words of flattery in an answer, {twice:.0%} of answers flatter twice or "
            f"more, {again:.0%} repeat a word, {either:.0%} do one or the other."
        )
    every = next(iter(results.values())).games.every  # type: ignore[attr-defined]
    norm = np.sum(every.features**2, axis=-1)
    lines.append(
        f"Mean ‖ψ‖²: {norm[every.quality == 1].mean():.2f} of the best answers, "
        f"{norm[every.padding > 0.5].mean():.2f} of those that are mostly padding, {norm.mean():.2f} of all."
    )
    for label in SHOWN:
        for asked, rows in likeliest(results[label]).items():
            share, answer, quality, _ = rows[0]
            lines.append(f"{label}, {asked} “{answer}”, probability {share:.2f}, U = {quality:.2f}.")
    return " ".join(lines)


EXPERIMENT = Experiment(
    name="language",
    claim=(
        "In the offline data a word of flattery goes with a good answer. RLHF learns to flatter more than "
        "once, to repeat itself and to give wrong answers. With the exact steering term most answers are "
        "right, and with relaxed FPO, the proximal penalty or TracIn nearly all. Practical FPO hardly helps."
    ),
    methods={
        "RLHF": {**COMMON, "objective": "myopic"},
        "exact": {**COMMON, "objective": "exact"},
        **{name: {**COMMON, "objective": name} for name in WEIGHTED},
    },
    figures=draw_figures,
    findings=findings,
    long=True,
)
