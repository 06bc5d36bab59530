"""Charts and figures that any sweep has, by what it varies: methods alone, one hyperparameter, or more."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from fpo_jax import plotting
from fpo_jax.experiments.core.wording import distinct
from fpo_jax.experiments.runs.figures import BELOW, END, TITLES
from fpo_jax.experiments.sweeps.dataset import per_seed
from fpo_jax.plotting import Axis, Chart, HeatMap, Style
from fpo_jax.statistics import mean_interval, share_interval

FEW = 8
"""Maximum lines of a figure with one line for each cell."""
MAPS = {
    "true_utility_final": "true utility, final",
    "blind_spot_mass_final": "blind-spot mass, final",
    "collapsed": "share of runs that collapse",
}


def draw(dataset: xr.Dataset) -> dict[str, plotting.Picture]:
    """Return the figures of a sweep.

    With up to `FEW` cells: curves and the distribution of final utility. With one varied number: final
    utility and collapse against it. With more: phase diagrams over the first two, with the others at their
    first value.
    """
    dataset, varied, numbers = in_order(dataset)
    drawn: dict[str, plotting.Picture] = {}
    if has_few_cells(dataset):
        n = seed_count(dataset["true_utility"].isel(step=-1))
        heading = f"mean of {n} seeds, the same for each line; band: middle 80 % of seeds"
        drawn["curves"] = plotting.figure(
            [[cell_curves(dataset, "true_utility"), cell_ends(dataset)]], heading
        )
    if not numbers:
        return drawn
    plane, heading = at_first(dataset, varied, numbers[:2])
    runs = per_seed(plane)
    if len(numbers) == 1:
        n = seed_count(runs["true_utility_final"])
        heading += f"means of {n} seeds, the same for each point; bands: 95 % intervals"
        charts = [against(runs, numbers[0], name) for name in ("true_utility_final", "collapsed")]
        drawn["against"] = plotting.figure([charts], heading)
    else:
        for name, title in MAPS.items():
            drawn[f"phase_{name}"] = phase(runs, numbers[0], numbers[1], name, title, heading=heading)
    return drawn


def in_order(dataset: xr.Dataset) -> tuple[xr.Dataset, list[str], list[str]]:
    """Return a sweep without axes of one value and with sorted numbers, its axes, and which are numbers."""
    axes = [str(dim) for dim in dataset["optimum"].dims if dim not in ("objective", "seed")]
    dataset = dataset.squeeze([dim for dim in axes if dataset.sizes[dim] == 1], drop=True)
    varied = [dim for dim in axes if dim in dataset.dims]
    numbers = [dim for dim in varied if np.issubdtype(dataset[dim].dtype, np.number)]
    return dataset.sortby(numbers), varied, numbers


def at_first(dataset: xr.Dataset, varied: Sequence[str], kept: Sequence[str]) -> tuple[xr.Dataset, str]:
    """Return the part in which all but some hyperparameters have their first value, with a description."""
    rest = {dim: 0 for dim in varied if dim not in kept}
    words = [f"{dim} {distinct(dataset[dim].values.tolist(), 6)[0]}" for dim in rest]
    return dataset.isel(rest), f"{', '.join(words)}: " if words else ""


def has_few_cells(dataset: xr.Dataset) -> bool:
    """Say whether every cell can have a line of its own."""
    return dataset["optimum"].isel(seed=0).size <= FEW


def seed_count(runs: xr.DataArray) -> str:
    """Return text with the number of seeds in a figure, without those that diverged."""
    n = runs.count("seed")
    return f"{int(n.max())}" if n.min() == n.max() else f"{int(n.min())} to {int(n.max())}"


def method_styles(dataset: xr.Dataset) -> dict[str, Style]:
    """Return a style for each method of a sweep."""
    return plotting.styles({str(method): str(method) for method in dataset["objective"].values})


def cell_curves(dataset: xr.Dataset, name: str) -> Chart:
    """Return a metric over iterations, a line for each cell in its method's colour, increasingly pale."""
    x = dataset["step"].values
    lines = [
        plotting.over_seeds(values, label, style, x, method=method)
        for label, method, style, values in _cells(dataset, name)
    ]
    return Chart(TITLES[name], lines, Axis("iteration"))


def cell_ends(dataset: xr.Dataset) -> Chart:
    """Return the distribution of the final true utility of each cell over seeds."""
    lines = [
        plotting.ended_below(values[:, -1], label, style)
        for label, _, style, values in _cells(dataset, "true_utility")
    ]
    return Chart(BELOW, lines, Axis(END))


def _cells(dataset: xr.Dataset, name: str) -> list[tuple[str, str, Style, np.ndarray]]:
    """Return the name, method and style of each cell, and its metric [seed, entry] for finite seeds."""
    metric = dataset[name].transpose(..., "seed", "step")
    stays = np.isfinite(dataset["true_utility"].transpose(..., "seed", "step").isel(step=-1).values)
    dims = [str(dim) for dim in metric.dims[:-2]]
    grid = {dim: dataset[dim].values for dim in dims}
    own = {
        method: iter(plotting.variants(style, stays[..., 0].size // len(grid["objective"])))
        for method, style in method_styles(dataset).items()
    }
    cells = []
    for index in np.ndindex(*metric.shape[:-2]):
        point = [grid[dim][i] for dim, i in zip(dims, index, strict=True)]
        method = str(point[dims.index("objective")])
        style, values = next(own[method]), metric.values[index][stays[index]]
        if len(values) and np.isfinite(values[:, 0]).any():
            cells.append((cell_name(point, grid), method, style, values))
    return cells


def cell_name(point: Sequence[Any], grid: Mapping[str, Any]) -> str:
    """Return the name of a cell: its method, and the hyperparameters that vary."""
    words = []
    for dim, value in zip(grid, point, strict=True):
        values = list(grid[dim])
        if dim == "objective":
            words.append(str(value))
        elif len(values) > 1:
            words.append(f"{dim} {distinct([v.item() for v in values], 6)[values.index(value)]}")
    return ", ".join(words)


def against(runs: xr.Dataset, x: str, name: str) -> Chart:
    """Return a number of each method against a hyperparameter, mean over seeds with 95 % intervals."""
    styles, places = method_styles(runs), runs[x].values
    interval = share_interval if name == "collapsed" else mean_interval
    lines = [
        plotting.against(
            places, interval(runs[name].sel(objective=method).transpose(x, "seed").values), method, style
        )
        for method, style in styles.items()
    ]
    return Chart(MAPS[name], lines, Axis(x, log=plotting.is_geometric(places)))


def heat_maps(
    runs: xr.Dataset,
    x: str,
    y: str,
    name: str,
    title: str,
    labels: Mapping[str, str] = {},
    limits: tuple[float, float] | None = None,
) -> list[Chart]:
    """Return a number over two hyperparameters, mean over seeds, a map for each method in one colour scale.

    Args:
        runs: one number a run, as `per_seed` gives it, with axes objective, x, y and seed.
        x, y: the hyperparameters along the horizontal and the vertical axis.
        name: the number to average over seeds.
        title: its displayed name.
        labels: displayed names of methods and hyperparameters; their own by default.
        limits: the two ends of the colour scale; 0 and the largest mean by default.
    """
    values = runs[name].mean("seed").transpose("objective", y, x)
    limits = (min(0.0, float(values.min())), float(values.max())) if limits is None else limits
    colours = "viridis" if name.startswith("true_utility") else "magma_r"
    axes = Axis(labels.get(x, x)), Axis(labels.get(y, y))
    charts = []
    for method in map(str, values["objective"].values):
        own = values.sel(objective=method).values
        heat = HeatMap(values[x].values, values[y].values, own, limits, colours, title)
        charts.append(Chart(labels.get(method, method), [heat], *axes, method=method))
    return charts


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
    """Draw a phase diagram for each method, side by side; see `heat_maps`. `heading` is what it is about."""
    charts = heat_maps(runs, x, y, name, title, labels, limits)
    heading = f"{heading}{title} (mean of {seed_count(runs[name])} seeds a cell, the same in each)"
    return plotting.figure([charts], heading, share="xy")
