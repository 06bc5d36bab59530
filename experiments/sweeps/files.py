"""The folder of a sweep: settings, arrays, tables, summary, figures and page; and arrays read again."""

from pathlib import Path

import numpy as np
import xarray as xr

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.files import write_json
from fpo_jax.experiments.core.json_files import parsed
from fpo_jax.experiments.core.npz_files import Damaged, read_npz
from fpo_jax.experiments.core.result_folder import replacing
from fpo_jax.experiments.core.settings import load
from fpo_jax.experiments.report import page
from fpo_jax.experiments.sweeps import dataset as data
from fpo_jax.experiments.sweeps import figures
from fpo_jax.experiments.sweeps.dataset import ATTRIBUTES, AXES, CELL, PER_SEED, attributes
from fpo_jax.experiments.sweeps.grid import Grid, make_grid
from fpo_jax.experiments.sweeps.page import section_of
from fpo_jax.plotting import save_all

MOST_AXES = 100
"""Axes of a sweep's arrays."""


def write(out: Path, grid: Grid, result: xr.Dataset) -> None:
    """Write a sweep's folder.

    `config.json`, re-runnable; `metrics.npz`, arrays in the order of the axes; `table.csv`, a row a cell;
    `runs.csv`, a row a run; `summary.json`; figures; `report.html`.
    """
    cells = data.table(result)
    with replacing(out) as folder:
        write_json(folder / "config.json", grid.as_dict())
        save(result, folder / "metrics.npz")
        cells.to_csv(folder / "table.csv", index=False)
        data.tidy(result).to_csv(folder / "runs.csv", index=False)
        report = data.summary(grid, result, cells)
        write_json(folder / "summary.json", report)
        pictures = save_all(figures.draw(result), folder)
        title, section = section_of(grid, result, cells, pictures)
        page.write(folder / page.FILE, title, "", [section], report, "sweep")


def save(dataset: xr.Dataset, path: Path) -> None:
    """Write a sweep's arrays; the names of their axes, in order, as `axes`; and the values of every axis."""
    axes = dataset["true_utility"].dims
    arrays = {str(name): np.array(values.values.tolist()) for name, values in dataset.coords.items()}
    arrays |= {str(name): variable.values for name, variable in dataset.items()}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **{AXES: np.array(axes)}, **arrays, **dataset.attrs)


def load_sweep(folder: Path | str) -> xr.Dataset:
    """Return the results of a sweep from its folder, as arrays with named axes.

    `load_sweep(folder).true_utility.sel(objective="relaxed").isel(step=-1).mean("seed")` is the mean final
    true utility of relaxed FPO against whatever was varied.

    Raises:
        InputError: when there is no finished sweep in the folder.
    """
    folder = Path(folder)
    try:
        arrays = read_npz(folder / "metrics.npz")
        if AXES not in arrays:  # written before the file named its axes
            grid = make_grid(load(folder / "config.json"))
            arrays |= {name: np.array(values) for name, values in grid.axes.items()}
            arrays |= {AXES: np.array([*grid.axes, "seed", "step"]), CELL: grid.index, **attributes(grid)}
        if arrays[AXES].ndim != 1 or arrays[AXES].size > MOST_AXES:
            raise ValueError("its axes are none")
        axes = arrays.pop(AXES).tolist()
        attrs = {name: str(arrays.pop(name)) for name in ATTRIBUTES}
        parsed(attrs["own"])  # which tables read
        coordinates = {axis: arrays.pop(axis) for axis in axes}
        dims = {CELL: axes[:-2], **dict.fromkeys(PER_SEED, axes[:-1])}
        variables = {name: (dims.get(name, axes), values) for name, values in arrays.items()}
        return xr.Dataset(variables, coordinates, attrs)
    except InputError:
        raise
    except (Damaged, KeyError, TypeError, ValueError) as error:
        allowed = f"the folder of a finished sweep ({str(error).splitlines()[0]})"
        raise InputError("folder", folder, allowed) from error
