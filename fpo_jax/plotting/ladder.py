"""Approximations beside the exact steering term."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from fpo_jax.plotting.style import IDEAL, TITLE_SIZE, Style


def accuracy_against_cost(
    ax: Axes, points: Mapping[str, tuple[float, float]], styles: Mapping[str, Style]
) -> None:
    """Draw each route as a point: microseconds of one estimate, and its relative error."""
    floor = 1e-17  # an error of exactly 0 has no logarithm
    for label, (cost, error) in points.items():
        filled = styles[label].color if styles[label].dashes == "-" else "white"
        marker: dict[str, Any] = {"color": styles[label].color, "markerfacecolor": filled, "linestyle": ""}
        ax.plot(cost, max(error, floor), "o", markersize=5, label=label, **marker)
    ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=8, frameon=False)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("one estimate (µs)")
    ax.set_ylabel("relative error of the correction")


def scatter_exact(
    ax: Axes, exact: np.ndarray, approximate: np.ndarray, blind_spot: np.ndarray, title: str
) -> None:
    """Draw an approximation against the exact value, response by response, with the diagonal."""
    ends = [float(exact.min()), float(exact.max())]
    ax.plot(ends, ends, color=IDEAL, linestyle="--", linewidth=0.8)
    ax.scatter(exact, approximate, s=12, c=np.where(blind_spot > 0.5, "#E08214", "#2171B5"), linewidths=0)
    ax.set_title(title, fontsize=TITLE_SIZE)
