"""The figure of a benchmark: seconds a seed against the number of seeds at once."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.experiments.bench.rows import Row

LIMIT, ORACLE = "--", ":"
"""Their style."""


def draw(rows: Sequence[Row]) -> Figure:
    """Draw seconds per seed against width, one panel for each environment; limits dashed, oracles dotted.

    Both have the colour of their objective.
    """
    names = list(dict.fromkeys(row.environment for row in rows))
    columns = min(len(names), 4)
    figure, axes = plotting.panels(-(-len(names) // columns), columns)
    styles = plotting.styles({row.objective: row.objective for row in rows})
    widths = sorted({width for row in rows for width in row.seconds})
    handles: dict[str, Any] = {}
    for ax, name in zip(axes.flat, names, strict=False):
        mine = [row for row in rows if row.environment == name]
        for row in mine:
            style, seconds = styles[row.objective], [times.wall for times in row.seconds.values()]
            line = {"color": style.color, "linestyle": style.linestyle, "marker": "o", "markersize": 3}
            ax.plot(list(row.seconds), seconds, label=row.objective, **line)
            for times, dashes in ((row.limit, LIMIT), (row.oracle, ORACLE)):
                if times is not None:
                    ax.axhline(times.wall, color=style.color, linestyle=dashes, linewidth=0.8)
        for label, dashes in (("arithmetic limit", LIMIT), ("eager NumPy oracle", ORACLE)):
            ax.plot([], [], color=plotting.IDEAL.color, linestyle=dashes, linewidth=0.8, label=label)
        ax.set_title(f"{name}, {mine[0].iterations} iterations", fontsize=plotting.TITLE_SIZE)
        ax.set_xlabel("seeds at once")
        ax.set_xscale("log", base=2)
        ax.set_xticks(widths, [str(width) for width in widths])
        ax.set_xlim(widths[0] / 1.5, widths[-1] * 1.5)
        ax.set_yscale("log")
        handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    for ax in axes[:, 0]:
        ax.set_ylabel("wall seconds a seed")
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    figure.legend(
        handles.values(), handles, loc="outside lower center", ncols=max(1, 3 * columns // 2), frameon=False
    )
    return figure
