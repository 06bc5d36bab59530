"""The page of a sweep: curves of few cells, lines against one hyperparameter, or maps over two."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from fpo_jax.experiments.core.wording import NONE, counted, distinct
from fpo_jax.experiments.report.parts import (
    MOST_PANELS,
    SAY_CURVES,
    Player,
    Section,
    View,
    markdown_table,
    numbers,
    plain,
    share,
)
from fpo_jax.experiments.runs.history import shown_iterations
from fpo_jax.experiments.runs.page import COLLAPSE
from fpo_jax.experiments.runs.player import play_seeds
from fpo_jax.experiments.sweeps import figures
from fpo_jax.experiments.sweeps.dataset import SHOWN, diverged, per_seed, readable, warnings
from fpo_jax.experiments.sweeps.grid import Grid
from fpo_jax.plotting import Chart

CURVES = ("true_utility", "proxy_reward", "blind_spot_mass")
"""Metrics to show over iterations."""


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def section_of(
    grid: Grid, result: xr.Dataset, table: pd.DataFrame, pictures: Sequence[Path]
) -> tuple[str, Section]:
    """Return a short description of a sweep, and its section; `table` is that of its cells."""
    varied = [f"{name} ({len(values)})" for name, values in grid.axes.items() if len(values) > 1]
    runs = len(grid.cells) * grid.seeds
    named = table.assign(**{name: distinct(table[name].tolist()) for name in grid.axes})
    ranked = named.dropna(subset="true_utility_final").sort_values("true_utility_final")

    def cell(row: Any) -> str:
        values = [f"{name} {row[name]}" for name in grid.axes if row[name] != NONE]
        utility, rate = row["true_utility_final"], row["collapse_rate"]
        return f"{', '.join(values)}: true utility {utility:.3g}, {share(rate)} collapsed"

    extremes = "Every run diverged."
    if len(ranked):
        best, worst = (plain(cell(ranked.iloc[place])) for place in (-1, 0))
        extremes = f"Best cell: {best}. Worst: {worst}."
    story = (
        f"{counted(len(grid.cells), 'cell')} × {counted(grid.seeds, 'seed')} over "
        f"{counted(grid.steps, 'iteration')}, varying "
        f"{', '.join(varied) or 'nothing but the seed'}. {extremes} A "
        f"seed counts as collapsed when it ends {COLLAPSE.replace('their', 'its')}."
    )
    shown = readable(table, list(grid.axes)).head(SHOWN)
    lines = markdown_table(list(shown.columns), [[_cell(value) for value in row] for row in shown.values])
    more = f"{counted(len(table) - SHOWN, 'more cell')} in table.csv." if len(table) > SHOWN else ""
    section = Section(
        f"{grid.environment}, sweep",
        story,
        [lines, more],
        pictures,
        view_of(result),
        [
            ("runs", str(runs), f"{counted(grid.seeds, 'seed')} a cell, the same in each"),
            ("cells", str(len(grid.cells)), "a method is run once for all values of what it does not have"),
            ("diverged", str(diverged(result)), "excluded from every mean"),
        ],
        [f"{warning}." for warning in warnings(result)],
        grid.cells,
    )
    return f"{grid.environment.capitalize()}: {' × '.join(grid.axes)}", section


def view_of(dataset: xr.Dataset) -> View:
    """Return the view of a sweep."""
    dataset, varied, numeric = figures.in_order(dataset)
    runs = per_seed(dataset)
    styles = figures.method_styles(dataset)
    if not np.isfinite(runs["true_utility_final"].values).any():
        return View(styles, playing="Every run diverged, so that there is nothing to draw.")
    charts: list[Chart] = []
    said = []
    n = figures.seed_count(runs["true_utility_final"])
    if figures.has_few_cells(dataset):
        charts += [figures.cell_curves(dataset, name) for name in CURVES]
        said.append(SAY_CURVES.format(n=f"{n} seeds") + " A method's cells differ in shade and dashes.")
    plane, _ = figures.at_first(runs, varied, numeric[:2])
    if len(numeric) == 1:
        charts += [figures.against(plane, numeric[0], name) for name in figures.MAPS]
        said.append(f"Against {numeric[0]}: means over {n} seeds with 95 % intervals.")
    elif len(numeric) > 1:
        for name, title in figures.MAPS.items():
            charts += figures.heat_maps(plane, numeric[0], numeric[1], name, title)
        said.append(f"Maps: means over {n} seeds a cell, the same in each; one colour scale for all methods.")
    rest = [dim for dim in varied if dim not in numeric[:2]]
    if rest and numeric:
        said.append(f"What else is varied, {', '.join(rest)}, has its first value there.")
    if numeric:
        player, playing = play_grid(dataset, numeric[:2])
    else:
        first = dataset.isel({dim: 0 for dim in varied})
        cells = {method: _metrics_of(first.sel(objective=method)) for method in styles}
        player, playing = play_seeds({m: c for m, c in cells.items() if c}, dataset["step"].values)
    return View(styles, charts, " ".join(said), player, playing)


def _metrics_of(cell: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the metrics of one cell, [seed, entry], without the seeds that diverged."""
    names = [str(name) for name, variable in cell.items() if "step" in variable.dims]
    arrays = {name: cell[name].transpose("seed", "step").values for name in names}
    stays = np.isfinite(arrays["true_utility"][:, -1])
    return {name: values[stays] for name, values in arrays.items() if np.isfinite(values[stays, 0]).any()}


def play_grid(dataset: xr.Dataset, varied: Sequence[str]) -> Player:
    """Return the player of a sweep: true utility over one or two hyperparameters, mean over seeds."""
    rest = {d: 0 for d in dataset["optimum"].dims if d not in ("objective", "seed", *varied)}
    entries = shown_iterations(dataset.sizes["step"] - 1)
    utility = dataset["true_utility"].isel(rest).isel(step=entries).mean("seed")
    utility = utility.transpose("objective", "step", *reversed(varied))
    axes = [str(dim) for dim in utility.dims[2:]]
    panels = [
        {
            "method": str(method),
            "kind": "bars" if len(axes) == 1 else "map",
            "axes": axes,
            "ticks": [distinct(dataset[axis].values.tolist()) for axis in axes],
            "frames": numbers(utility.sel(objective=method).values),
            "unit": "true utility",
        }
        for method in list(utility["objective"].values)[:MOST_PANELS]
    ]
    limits = numbers([min(0.0, float(utility.min())), float(utility.max())])
    iterations = [int(step) for step in dataset["step"].values[entries]]
    what = f"True utility, mean over seeds, over {' × '.join(reversed(axes))}."
    return {"iterations": iterations, "limits": limits, "panels": panels}, what
