"""Figures that any environment has: curves of what a run recorded, one line for each method."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.experiments.runs.execution import Result
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


def method_styles(results: Mapping[str, Result]) -> dict[str, plotting.Style]:
    """Return a style for each method by its label."""
    return plotting.styles({label: r.settings.names.objective for label, r in results.items()})


def styles_by_first_word(labels: Iterable[str]) -> dict[str, plotting.Style]:
    """Return a style for each label such as "relaxed 0.1", by the method that its first word names."""
    return plotting.styles({label: "myopic" if label == "RLHF" else label.split()[0] for label in labels})


def metric(
    ax: Axes,
    results: Mapping[str, Result],
    name: str,
    ideal: tuple[float, str] | None = None,
    styles: Mapping[str, plotting.Style] | None = None,
) -> None:
    """Draw one metric of every method over iterations, and the ideal dashed where there is one."""
    styles = method_styles(results) if styles is None else styles
    for label, result in results.items():
        plotting.curve(ax, result.metrics[name], label, styles[label])
    if ideal is not None:
        plotting.ideal(ax, *ideal)
    ax.set_title(TITLES.get(name, name), fontsize=plotting.TITLE_SIZE)
    ax.set_xlabel("iteration")


def legend_below(figure: Figure, ax: Axes, columns: int) -> None:
    """Put the legend of one panel below the whole figure."""
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)


def distribution(ax: Axes, results: Mapping[str, Result], styles: Mapping[str, plotting.Style]) -> None:
    """Draw how final true utility is distributed over seeds, a staircase for each method."""
    for label, result in results.items():
        plotting.cumulative(ax, result.metrics["true_utility"][:, -1], label, styles[label])
    ax.set_title("share of seeds that end below", fontsize=plotting.TITLE_SIZE)
    ax.set_xlabel("true utility, final")


def end_against_peak(ax: Axes, results: Mapping[str, Result], styles: Mapping[str, plotting.Style]) -> None:
    """Draw each seed's final gain against its largest: below either dotted line it has collapsed."""
    for label, result in results.items():
        gained = share_gained(result.metrics["true_utility"], result.optimum)
        plotting.scatter(ax, gained.max(axis=1), gained[:, -1], label, styles[label])
    plotting.diagonal(ax, 1.0)
    plotting.diagonal(ax, 1.0, FALL)
    ax.axhline(LOW, color=plotting.IDEAL, linewidth=0.8, linestyle=":")
    ax.set_title("each seed: its end against its peak", fontsize=plotting.TITLE_SIZE)
    ax.set_xlabel("share of what was to be gained, at its peak")
    ax.set_ylabel("at its end")


def caption(results: Mapping[str, Result]) -> str:
    """Say what lines and bands are, and how many seeds they rest on."""
    counts = {len(r.seeds) for r in results.values()}
    n = str(counts.pop()) if len(counts) == 1 else f"{min(counts)}–{max(counts)}"
    return "one seed" if n == "1" else f"mean of {n} seeds; band: middle 80 % of seeds"


def curves(
    results: Mapping[str, Result],
    levels: Mapping[str, tuple[float, str] | None],
    title: str,
    styles: Mapping[str, plotting.Style] | None = None,
) -> Figure:
    """Draw metrics of every method side by side.

    Args:
        results: by the method's label.
        levels: the metrics to draw, each with its ideal value and what that is called, or None.
        title: what the figure is about; what lines and bands are is added.
        styles: by the method's label; by its objective when not given.
    """
    figure, axes = plotting.panels(1, len(levels))
    for ax, (name, level) in zip(axes[0], levels.items(), strict=True):
        metric(ax, results, name, level, styles)
    legend_below(figure, axes[0, 0], len(results) + 1)
    figure.suptitle(f"{title}: {caption(results)}", fontsize=9)
    return figure


def overview(results: Mapping[str, Result]) -> dict[str, plotting.Picture]:
    """Return the standard figure of a run: utility, proxy, blind-spot mass and steering norm."""
    figure, axes = plotting.panels(2, 2)
    first = next(iter(results.values()))
    fourth = "steering_norm" if "steering_norm" in first.metrics else "gap"
    names = ("true_utility", "proxy_reward", "blind_spot_mass", fourth)
    best = (float(first.optimum.mean()), "optimum")
    for ax, name in zip(axes.flat, names, strict=True):
        metric(ax, results, name, best if name == "true_utility" else None)
    legend_below(figure, axes[0, 0], len(results) + 1)
    figure.suptitle(f"{first.settings.names.environment}: {caption(results)}", fontsize=9)
    return {"overview": figure}


def save_all(figures: Mapping[str, plotting.Picture], folder: Path) -> list[Path]:
    """Write every figure into a folder, and return the files that show them on a page."""
    return [folder / plotting.save(figure, folder, name) for name, figure in figures.items()]
