"""Figures that any sweep has, by what it varies: methods alone, one hyperparameter, or two and more."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.experiments.core.wording import told_apart
from fpo_jax.experiments.runs import figures
from fpo_jax.experiments.sweeps.dataset import per_seed
from fpo_jax.statistics import mean_interval, share_interval

FEW = 8
"""Most lines of a figure in which every cell has one."""
MAPS = {
    "true_utility_final": "true utility, final",
    "blind_spot_mass_final": "blind-spot mass, final",
    "collapsed": "share of runs that collapse",
}


def draw(dataset: xr.Dataset) -> dict[str, plotting.Picture]:
    """Return the figures of a sweep.

    With up to `FEW` cells, curves and the distribution of final utility. Against the hyperparameter, if one
    number is varied, final utility and collapse; over the first two, if more are, phase diagrams, with what
    else is varied at its first value.
    """
    dataset, varied, numbers = in_order(dataset)
    drawn: dict[str, plotting.Picture] = {}
    if dataset["optimum"].isel(seed=0).size <= FEW:
        drawn["curves"] = _curves(dataset)
    if len(numbers) == 1:
        drawn["against"] = _against(*_at_first(dataset, varied, numbers), numbers[0])
    if len(numbers) > 1:
        plane, heading = _at_first(dataset, varied, numbers[:2])
        for name, title in MAPS.items():
            drawn[f"phase_{name}"] = phase(
                per_seed(plane), numbers[0], numbers[1], name, title, heading=heading
            )
    return drawn


def in_order(dataset: xr.Dataset) -> tuple[xr.Dataset, list[str], list[str]]:
    """Return a sweep without axes of one value, numbers rising; what varies in it, and which are numbers."""
    axes = [str(dim) for dim in dataset["optimum"].dims if dim not in ("objective", "seed")]
    dataset = dataset.squeeze([dim for dim in axes if dataset.sizes[dim] == 1], drop=True)
    varied = [dim for dim in axes if dim in dataset.dims]
    numbers = [dim for dim in varied if np.issubdtype(dataset[dim].dtype, np.number)]
    return dataset.sortby(numbers), varied, numbers


def _at_first(dataset: xr.Dataset, varied: Sequence[str], kept: Sequence[str]) -> tuple[xr.Dataset, str]:
    """Return the part in which all but some hyperparameters have their first value, and words for that."""
    rest = {dim: 0 for dim in varied if dim not in kept}
    words = [f"{dim} {told_apart(dataset[dim].values.tolist(), 6)[0]}" for dim in rest]
    return dataset.isel(rest), f"{', '.join(words)}: " if words else ""


def counted(runs: xr.DataArray) -> str:
    """Say how many seeds the numbers of a figure rest on, those that diverged left out."""
    n = runs.count("seed")
    return f"{int(n.max())}" if n.min() == n.max() else f"{int(n.min())} to {int(n.max())}"


def phase(
    runs: xr.Dataset,
    x: str,
    y: str,
    name: str,
    title: str,
    heading: str = "",
    labels: Mapping[str, str] = {},
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw a phase diagram for each method, side by side in one colour scale.

    Args:
        runs: one number a run, as `per_seed` gives it, with axes objective, x, y and seed.
        x, y: the hyperparameters along the horizontal and the vertical axis.
        name: the number whose mean over seeds is drawn.
        title: what it is called.
        heading: what the figure is about.
        labels: names of methods and hyperparameters to show; their own by default.
        limits: values of the two ends of the colour scale; 0 and the largest mean when not given.
    """
    values = runs[name].mean("seed").transpose("objective", y, x)
    methods = [str(method) for method in values["objective"].values]
    figure, axes = plotting.panels(1, len(methods), sharex=True, sharey=True)
    low, high = (min(0.0, float(values.min())), float(values.max())) if limits is None else limits
    for ax, method in zip(axes[0], methods, strict=True):
        drawn = plotting.heat_map(
            ax,
            values[x].values,
            values[y].values,
            values.sel(objective=method).values,
            labels.get(method, method),
            colours="viridis" if name.startswith("true_utility") else "magma_r",
            limits=(low, high),
        )
        ax.set_xlabel(labels.get(x, x))
    axes[0, 0].set_ylabel(labels.get(y, y))
    figure.colorbar(drawn, ax=list(axes[0]), label=title, pad=0.02)
    n = counted(runs[name])
    figure.suptitle(f"{heading}{title} (mean of {n} seeds a cell, the same in each)", fontsize=9)
    return figure


def _curves(dataset: xr.Dataset) -> Figure:
    """Draw true utility over iterations, and how its final value is distributed, a line for each cell."""
    utility = dataset["true_utility"].transpose(..., "seed", "step")
    figure, axes = plotting.panels(1, 2)
    left, right = axes[0]
    grid = {str(dim): dataset[dim].values for dim in utility.dims[:-2]}
    points = list(itertools.product(*grid.values()))
    styles = plotting.ladder_styles([cell_name(point, grid) for point in points])
    for point in points:
        label = cell_name(point, grid)
        values = utility.sel(dict(zip(grid, point, strict=True))).values
        values = values[np.isfinite(values[:, -1])]
        if len(values):
            plotting.curve(left, values, label, styles[label], dataset["step"].values)
            plotting.cumulative(right, values[:, -1], label, styles[label])
    left.set_title(figures.TITLES["true_utility"], fontsize=plotting.TITLE_SIZE)
    left.set_xlabel("iteration")
    right.set_title("share of seeds that end below", fontsize=plotting.TITLE_SIZE)
    right.set_xlabel("true utility, final")
    figures.legend_below(figure, left, min(len(points), 4))
    n = counted(utility.isel(step=-1))
    figure.suptitle(f"mean of {n} seeds, the same for each line; band: middle 80 % of seeds", fontsize=9)
    return figure


def cell_name(point: Sequence[Any], grid: Mapping[str, Any]) -> str:
    """Return the name of a cell: its method, and the hyperparameters that vary."""
    words = []
    for dim, value in zip(grid, point, strict=True):
        values = list(grid[dim])
        if dim == "objective":
            words.append(str(value))
        elif len(values) > 1:
            words.append(f"{dim} {told_apart([v.item() for v in values], 6)[values.index(value)]}")
    return ", ".join(words)


def _against(dataset: xr.Dataset, heading: str, x: str) -> Figure:
    """Draw final true utility and collapse of each method against a hyperparameter, with 95 % intervals."""
    runs = per_seed(dataset)
    figure, axes = plotting.panels(1, 2)
    left, right = axes[0]
    methods = [str(method) for method in runs["objective"].values]
    styles = plotting.styles({method: method for method in methods})
    places = runs[x].values
    for method in methods:
        own = runs.sel(objective=method).transpose(x, "seed")
        utility, share = (
            mean_interval(own["true_utility_final"].values),
            share_interval(own["collapsed"].values),
        )
        for ax, estimate in ((left, utility), (right, share)):
            intervals = list(zip(estimate.low, estimate.high, strict=True))
            plotting.interval_line(ax, list(places), list(estimate.mean), intervals, method, styles[method])
    for ax, title in ((left, MAPS["true_utility_final"]), (right, MAPS["collapsed"])):
        ax.set_title(title, fontsize=plotting.TITLE_SIZE)
        ax.set_xlabel(x)
        if plotting.is_geometric(places):
            ax.set_xscale("log")
    figures.legend_below(figure, left, len(methods))
    n = counted(runs["true_utility_final"])
    figure.suptitle(
        f"{heading}means of {n} seeds, the same for each point; bands: 95 % intervals", fontsize=9
    )
    return figure
