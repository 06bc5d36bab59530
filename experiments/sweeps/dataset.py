"""A sweep's results as arrays with named axes, and as tables."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from fpo_jax.engine.sweep import LaneResults, programs_compiled
from fpo_jax.experiments.core.files import provenance
from fpo_jax.experiments.core.wording import counted, distinct, with_interval
from fpo_jax.experiments.core.wording import table as in_columns
from fpo_jax.experiments.runs.execution import few_seeds
from fpo_jax.experiments.sweeps.grid import Grid
from fpo_jax.statistics import (
    collapsed,
    interquartile_mean,
    mean_interval,
    paired_difference,
    passing,
    share_interval,
)

PER_SEED = ("optimum", "diverged_at")
"""Variables without an axis of steps, in addition to the summaries of `per_seed`."""
AXES = "axes"
"""The names of a file's axes, in order; each is also the name of the array of its values."""
ATTRIBUTES = ("command", "own")
CELL = "cell"
"""The cell that was run for a point of the grid; a method's cell covers all values of parameters that it
lacks.
"""


def to_dataset(grid: Grid, lanes: LaneResults) -> xr.Dataset:
    """Name the axes of a sweep's results: objective, each hyperparameter, seed, step.

    Args:
        grid: what was run.
        lanes: the results, with leading axes [cell, seed].

    Returns:
        The metrics, NaN throughout for a run that diverged; `optimum`, the true utility that no policy
        exceeds; `diverged_at`, the first iteration written down that was not finite, or −1; `cell`, the
        number of the cell that was run for a point. The attribute `own`, JSON, names each method's own axes.
    """
    stays = np.asarray(lanes.finite.all(axis=-1))
    at = np.where(stays, -1, np.argmin(lanes.finite, axis=-1) * grid.every)
    dims = [*grid.axes, "seed"]
    variables: dict[str, Any] = {
        name: ([*dims, "step"], np.where(stays[..., None], values, np.nan)[grid.index])
        for name, values in lanes.metrics.items()
    }
    variables |= {"optimum": (dims, lanes.optimum[grid.index]), "diverged_at": (dims, at[grid.index])}
    variables[CELL] = (list(grid.axes), grid.index)
    steps = np.arange(lanes.finite.shape[-1]) * grid.every
    seeds = grid.seed + np.arange(grid.seeds)
    return xr.Dataset(variables, {**grid.axes, "seed": seeds, "step": steps}, attributes(grid))


def attributes(grid: Grid) -> dict[str, Any]:
    """Return the attributes of a file of results: the command, and each method's own axes."""
    return {"command": grid.command(), "own": json.dumps(grid.own)}  # text, as files want it


def per_seed(dataset: xr.Dataset) -> xr.Dataset:
    """Return numbers for each run: final metrics, the peak of true utility, and whether the policy collapsed.

    `collapsed` is 0 or 1; all but `diverged_at` are NaN for a run that diverged.
    """
    metrics = [name for name, variable in dataset.items() if "step" in variable.dims]
    final = dataset[metrics].isel(step=-1, drop=True).rename({name: f"{name}_final" for name in metrics})
    utility = dataset["true_utility"].transpose(..., "step")
    fell = collapsed(utility.values, dataset["optimum"].values)
    dims = utility.dims[:-1]
    return final.assign(
        true_utility_peak=(dims, utility.values.max(axis=-1)),
        collapsed=(dims, np.where(np.isfinite(utility.values[..., -1]), fell, np.nan)),
        optimum=dataset["optimum"],
        diverged_at=dataset["diverged_at"],
    )


def tidy(dataset: xr.Dataset) -> pd.DataFrame:
    """Return one row for each run: its place in the grid, its seed, and its numbers.

    Hyperparameters that a method lacks are empty.
    """
    return _once(per_seed(dataset), dataset)


def _once(numbers: xr.Dataset, dataset: xr.Dataset) -> pd.DataFrame:
    """Return rows for the cells that were run, without points of the grid that another cell covers."""
    axes = [str(dim) for dim in dataset[CELL].dims]
    frame = numbers.assign({CELL: dataset[CELL]}).to_dataframe().reset_index()
    index = [name for name in (CELL, "seed") if name in frame]
    frame = frame.drop_duplicates(index).drop(columns=CELL).reset_index(drop=True)
    own = json.loads(dataset.attrs["own"])
    for axis in axes:
        has = frame["objective"].map(lambda method, axis=axis: axis in ("objective", *own[method]))
        # integers stay integers beside missing values
        frame[axis] = frame[axis].astype(object).where(has, None)
    return frame


def diverged(dataset: xr.Dataset) -> int:
    """Return how many runs of a sweep diverged."""
    return int((_once(dataset[["diverged_at"]], dataset)["diverged_at"] >= 0).sum())


def warnings(dataset: xr.Dataset) -> list[str]:
    """Return warnings for readers of a sweep's estimates, one line each."""
    bad = diverged(dataset)
    _, ran = np.unique(dataset[CELL].values, return_index=True)  # without points that another cell covers
    utility = dataset["true_utility"].transpose(*dataset["optimum"].dims, "step").values
    best = dataset["optimum"].values
    passed = passing(utility.reshape(-1, *utility.shape[-2:])[ran], best.reshape(-1, best.shape[-1])[ran])
    verb = "is" if bad == 1 else "are"
    return [
        *([f"{counted(bad, 'run')} diverged, and {verb} left out of n"] if bad else []),
        *([] if passed is None else [passed]),
        *few_seeds(dataset.sizes["seed"]),
    ]


COLUMNS = ("true_utility_final", "true_utility_peak", "proxy_reward_final", "blind_spot_mass_final")
"""Estimates in the table of cells, in addition to the share of runs that collapse."""


def table(dataset: xr.Dataset) -> pd.DataFrame:
    """Return one row a cell that was run: estimates over seeds, 95 % intervals `*_low`, `*_high`, and `n`.

    Means with studentised bootstrap intervals; the interquartile mean of final true utility; `collapse_rate`
    with its Wilson interval; `gain`, final true utility minus that of the first objective on the same seeds,
    and `gain_share`, the share of seeds in which it is positive. n excludes runs that diverged.
    """
    runs = per_seed(dataset)
    dims = [dim for dim in runs.dims if dim != "seed"]
    numbers = {name: runs[name].transpose(*dims, "seed").values for name in (*COLUMNS, "collapsed")}
    final = numbers["true_utility_final"]
    gain = paired_difference(final, np.broadcast_to(final[:1], final.shape))
    estimates = {name: mean_interval(numbers[name]) for name in COLUMNS} | {
        "true_utility_final_iqm": interquartile_mean(final),
        "collapse_rate": share_interval(numbers["collapsed"]),
        "gain": gain.difference,
        "gain_share": gain.wins,
    }
    columns: dict[str, Any] = {"n": (dims, estimates["collapse_rate"].n)}
    for name, estimate in estimates.items():
        columns |= {
            name: (dims, estimate.mean),
            f"{name}_low": (dims, estimate.low),
            f"{name}_high": (dims, estimate.high),
        }
    coordinates = {dim: dataset.coords[dim] for dim in dims}
    return _once(xr.Dataset(columns, coordinates), dataset)


def records(frame: pd.DataFrame) -> list[Mapping[str, Any]]:
    """Return the rows of a table for JSON, with undefined values as null."""
    return json.loads(frame.to_json(orient="records", double_precision=15))


def summary(grid: Grid, result: xr.Dataset, cells: pd.DataFrame) -> dict[str, Any]:
    """Summarise a sweep: its settings, the number of programs, and the table of its cells."""
    return {
        "environment": grid.environment,
        "axes": grid.axes,
        "seeds": grid.seeds,
        "steps": grid.steps,
        "runs": len(grid.cells) * grid.seeds,
        "diverged": diverged(result),
        "programs_compiled": programs_compiled(),
        "cells": records(cells),
    } | provenance(grid.command(), grid.precision)


SHOWN = 40
"""Maximum printed cells; all of them are in `table.csv`."""


def readable(frame: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """Return a sweep's table in readable form: estimates with [95 % intervals], and n."""
    shown = pd.DataFrame({axis: distinct(frame[axis].tolist()) for axis in axes})
    first = frame["objective"].iloc[0]
    for title, name in {
        "true utility": "true_utility_final",
        "interquartile mean": "true_utility_final_iqm",
        "blind-spot mass": "blind_spot_mass_final",
        "collapsed": "collapse_rate",
        f"gain on {first}": "gain",
    }.items():
        columns = (frame[name], frame[f"{name}_low"], frame[f"{name}_high"])
        shown[title] = [with_interval(*row) for row in zip(*columns, strict=True)]
    shown["n"] = frame["n"]
    return shown


def show(frame: pd.DataFrame, axes: Sequence[str]) -> str:
    """Return a sweep's table as text, at most `SHOWN` rows of it."""
    shown = readable(frame, axes)
    text = in_columns(list(shown), shown.head(SHOWN).astype(str).values.tolist())
    return text if len(shown) <= SHOWN else f"{text}\n… {len(shown) - SHOWN} more cells"
