"""Charts and figures for any environment: metrics over iterations, with a line for each method."""

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.experiments.runs.result import Result
from fpo_jax.plotting import Axis, Chart, Level, Points, Style
from fpo_jax.statistics import FALL, LOW, share_gained

TITLES = {
    "true_utility": "true utility  E[U]",
    "proxy_reward": "proxy reward  E[r]",
    "gap": "gap  E[r] − E[U]",
    "blind_spot_mass": "blind-spot mass",
    "steering_norm": "norm of the steering term",
    "steering_cosine": "cosine of steering and standard part",
    "kl": "KL to the initial policy (nats)",
    "noise_norm": "noise norm",
    "signal_norm": "signal norm",
}
BELOW = "share of seeds that end below"
END = "true utility, final"


def method_styles(results: Mapping[str, Result]) -> dict[str, Style]:
    """Return a style for each method by label: the style of its objective if these differ."""
    styles = plotting.styles({label: r.settings.names.objective for label, r in results.items()})
    return styles if len(set(styles.values())) == len(styles) else plotting.ladder_styles(list(styles))


def styles_by_first_word(labels: Iterable[str]) -> dict[str, Style]:
    """Return a style for each label, such as "relaxed 0.1": the style of the method in its first word."""
    return plotting.styles({label: "myopic" if label == "RLHF" else label.split()[0] for label in labels})


def metric(
    results: Mapping[str, Result],
    name: str,
    ideal: tuple[float, str] | None = None,
    styles: Mapping[str, Style] | None = None,
) -> Chart:
    """Return a chart of one metric over iterations, with a line for each method.

    Args:
        results: by label of the method.
        name: of the metric.
        ideal: an ideal value and its name, drawn as a dashed line; or None.
        styles: by label; `method_styles` if None.
    """
    styles = method_styles(results) if styles is None else styles
    lines = [
        plotting.over_seeds(result.metrics[name], label, styles[label]) for label, result in results.items()
    ]
    chart = Chart(TITLES.get(name, name), lines, Axis("iteration"))
    return chart if ideal is None else chart.with_marks(Level(*ideal))


def distribution(results: Mapping[str, Result], styles: Mapping[str, Style]) -> Chart:
    """Return a chart of the distribution of final true utility over seeds: a staircase for each method."""
    lines = [
        plotting.ended_below(result.metrics["true_utility"][:, -1], label, styles[label])
        for label, result in results.items()
    ]
    return Chart(BELOW, lines, Axis(END))


def end_against_peak(results: Mapping[str, Result], styles: Mapping[str, Style]) -> Chart:
    """Return a chart of each seed's final gain against its largest. Seeds below a dotted line collapsed."""
    dots = []
    for label, result in results.items():
        gained = share_gained(result.metrics["true_utility"], result.optimum)
        dots.append(Points(gained.max(axis=1), gained[:, -1], styles[label], label, size=2.8))
    low = Level(LOW, style=Style(plotting.IDEAL.color, plotting.DOTS))
    return Chart(
        "each seed: its end against its peak",
        [*dots, plotting.diagonal(1.0), plotting.diagonal(1.0, FALL), low],
        Axis("share of the possible gain, at its peak"),
        Axis("at its end"),
    )


def caption(results: Mapping[str, Result]) -> str:
    """Return a caption that explains lines and bands, with the number of seeds."""
    counts = {len(r.seeds) for r in results.values()}
    n = str(counts.pop()) if len(counts) == 1 else f"{min(counts)}–{max(counts)}"
    return "one seed" if n == "1" else f"mean of {n} seeds; band: middle 80 % of seeds"


def curves(
    results: Mapping[str, Result],
    levels: Mapping[str, tuple[float, str] | None],
    title: str,
    styles: Mapping[str, Style] | None = None,
) -> Figure:
    """Draw metrics of every method side by side.

    Args:
        results: by label of the method.
        levels: the metrics to draw, each with its ideal value and the name of that value, or None.
        title: of the figure. A caption for lines and bands is added.
        styles: by label; `method_styles` if None.
    """
    charts = [metric(results, name, level, styles) for name, level in levels.items()]
    return plotting.figure([charts], f"{title}: {caption(results)}")


def overview(results: Mapping[str, Result]) -> dict[str, plotting.Picture]:
    """Return the standard figure of a run: utility, proxy, blind-spot mass and steering norm."""
    first = next(iter(results.values()))
    fourth = "steering_norm" if "steering_norm" in first.metrics else "gap"
    names = ("true_utility", "proxy_reward", "blind_spot_mass", fourth)
    one, two, three, four = (metric(results, name, _best(first, name)) for name in names)
    heading = f"{first.settings.names.environment}: {caption(results)}"
    return {"overview": plotting.figure([[one, two], [three, four]], heading)}


def every_chart(results: Mapping[str, Result]) -> list[Chart]:
    """Return a chart of each metric that all methods have; with several seeds also of where they end."""
    first = next(iter(results.values()))
    names = list(dict.fromkeys([*TITLES, *first.metrics]))
    names = [name for name in names if all(name in result.metrics for result in results.values())]
    charts = [metric(results, name, _best(first, name)) for name in names]
    several = any(len(result.seeds) > 1 for result in results.values())
    return charts + [distribution(results, method_styles(results))] * several


def _best(result: Result, name: str) -> tuple[float, str] | None:
    optimum = float(result.optimum.mean())
    return (optimum, "optimum") if name == "true_utility" and np.isfinite(optimum) else None
