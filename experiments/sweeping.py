"""Run a sweep into a folder: resumable while it runs, and whole or not there at all when it is done."""

import contextlib
import importlib.metadata
import itertools
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import psutil
import xarray as xr
from jax.experimental import multihost_utils
from tqdm import tqdm

from experiments import dataset as data
from experiments import sweep_figures
from experiments.chunks import Damaged, Unfinished
from experiments.figures import save_all
from experiments.grid import Grid, make_grid
from experiments.results import provenance, replacing, require_writable, write_json
from experiments.settings import RECORDS, in_precision
from fpo_jax.hyperparameters import InputError
from fpo_jax.sweep import Cell, Chunk, Lanes, Sweep, programs_compiled


def run_grid(grid: Grid, width: int | None = None) -> xr.Dataset:
    """Run a grid in memory, and return its results as arrays with named axes."""
    with in_precision(grid.precision):
        sweep = _made(grid, width)
        return data.to_dataset(grid, sweep.gather(_computed(sweep, None)))


def sweep_into(
    out: Path, grid: Grid | None, resume: bool = False, width: int | None = None
) -> tuple[Grid, xr.Dataset | None]:
    """Run a grid into a folder, going on where an interrupted sweep stopped if it is to be resumed.

    Args:
        out: folder to write; it appears when all is done, and until then its work stands in NAME.partial.
        grid: what to run; when resuming, None takes what the unfinished sweep was asked.
        resume: go on with what stands in NAME.partial.
        width: lanes of a chunk; when resuming, None takes that of the unfinished sweep.

    Returns:
        The grid and its results; no results in processes beside the first, which alone reads and writes.

    Raises:
        InputError: nothing to resume, an unfinished sweep in the way or of another configuration, another
            sweep at work on the same folder, results too large for the disk or for memory.
    """
    require_writable(out)
    unfinished = Unfinished(out)
    if resume and not unfinished.exists:
        raise InputError("resume", out, f"the folder of an interrupted sweep: no {unfinished.folder} here")
    first = jax.process_index() == 0
    if first and unfinished.exists and not resume:
        raise InputError("out", out, f"resumed with --resume, or {unfinished.folder} removed first")
    with unfinished.locked() if first else contextlib.nullcontext():
        planned = _resumed(unfinished, grid, width) if resume else grid
        assert planned is not None
        with in_precision(planned.precision):
            sweep = _made(planned, unfinished.config()["width"] if resume else width)
            if first and not resume:
                _require_room(planned, sweep, unfinished)
                unfinished.begin(_description(planned, sweep))
            try:
                lanes = sweep.gather(_computed(sweep, unfinished if first else None))
            except OSError as error:
                allowed = (
                    f"on a disk that takes it ({error.strerror}); what is done is kept: go on with --resume"
                )
                raise InputError("out", out, allowed) from error
            if not first:
                return planned, None
            result = data.to_dataset(planned, lanes)
        write(out, planned, result)
        unfinished.finish()
    return planned, result


def summary(grid: Grid, result: xr.Dataset) -> dict[str, Any]:
    """Sum a sweep up: what was run, how many programs it took, and the table of its cells."""
    return {
        "environment": grid.environment,
        "axes": grid.axes,
        "seeds": grid.seeds,
        "steps": grid.steps,
        "runs": len(grid.cells) * grid.seeds,
        "diverged": int((result["diverged_at"] >= 0).sum()),
        "programs_compiled": programs_compiled(),
        "cells": data.records(data.table(result)),
    } | provenance(grid.command(), grid.precision)


def write(out: Path, grid: Grid, result: xr.Dataset) -> None:
    """Write a sweep's folder.

    `config.json`, re-runnable; `metrics.npz`, arrays in the order of the axes; `table.csv`, a row a cell;
    `runs.csv`, a row a run; `summary.json`; figures.
    """
    with replacing(out) as folder:
        write_json(folder / "config.json", grid.as_dict())
        data.save(result, folder / "metrics.npz")
        data.table(result).to_csv(folder / "table.csv", index=False)
        data.tidy(result).to_csv(folder / "runs.csv", index=False)
        write_json(folder / "summary.json", summary(grid, result))
        save_all(sweep_figures.draw(result), folder)


def _made(grid: Grid, width: int | None) -> Sweep:
    cells = [Cell(*settings.build()) for settings in grid.cells]
    seeds = grid.seed + np.arange(grid.seeds)
    return Sweep(cells, seeds, steps=grid.steps, record=RECORDS[grid.record], every=grid.every, width=width)


def _description(grid: Grid, sweep: Sweep) -> dict[str, Any]:
    """Return what the bits of a sweep's results rest on: the grid, and how it is computed."""
    here = {"width": sweep.width, "devices": jax.device_count(), "jax": importlib.metadata.version("jax")}
    return grid.as_dict() | here


def _resumed(unfinished: Unfinished, grid: Grid | None, width: int | None) -> Grid:
    """Return the grid of an unfinished sweep.

    Raises:
        InputError: when another grid or width is asked for; shows the difference.
    """
    earlier = unfinished.config()
    how = {name: earlier.pop(name, None) for name in ("width", "devices", "jax")}
    asked = {} if grid is None else grid.as_dict()
    asked |= {} if width is None else {"width": width}
    for name, value in asked.items():
        if value != (earlier | how).get(name):
            raise InputError(name, value, f"{(earlier | how).get(name)}, as in the sweep to be resumed")
    for name, now in (("devices", jax.device_count()), ("jax", importlib.metadata.version("jax"))):
        if how[name] != now:
            changed = f"begun with {name} {how[name]}, resumed with {now}"
            sys.stderr.write(f"{changed}: results may differ in their last digits\n")
    return make_grid(earlier)


def _require_room(grid: Grid, sweep: Sweep, unfinished: Unfinished) -> None:
    """Check that results will fit on the disk, twice since chunks stand beside the whole, and in memory.

    Raises:
        InputError: says how often to write down entries so that they fit.
    """
    size = sweep.result_bytes()
    room = {
        "on the disk": shutil.disk_usage(unfinished.folder).free / 2,
        "in memory": psutil.virtual_memory().available / 3,  # gathered, in the order of the axes, written
    }
    for place, most in room.items():
        if size > most:
            rarer = [
                d for d in range(1, grid.steps + 1) if not grid.steps % d and size * grid.every / d <= most
            ]
            way = f"--every {rarer[0]} fits" if rarer else "fewer cells or seeds are needed"
            raise InputError("results", f"{size / 1e9:.3g} GB", f"at most {most / 1e9:.3g} GB {place}: {way}")


def _computed(sweep: Sweep, unfinished: Unfinished | None) -> Iterator[tuple[Chunk, Lanes]]:
    """Yield the results of every chunk: those that are there, then the others as they are computed."""
    kept: dict[Chunk, Lanes] = {}
    for chunk in sweep.chunks if unfinished else []:
        assert unfinished is not None
        try:
            lanes = unfinished.read(chunk)
        except Damaged as error:
            tqdm.write(f"damaged, so computed again: {error}", sys.stderr)
            continue
        kept |= {} if lanes is None else {chunk: lanes}
    missing = np.array([chunk not in kept for chunk in sweep.chunks])
    if jax.process_count() > 1:  # the first process knows
        missing = multihost_utils.broadcast_one_to_all(missing)
    yield from kept.items()
    total = sum(chunk.stop - chunk.start for chunk in sweep.chunks)
    have = sum(chunk.stop - chunk.start for chunk in kept)
    quiet = jax.process_index() > 0
    with tqdm(total=total, initial=have, unit="run", file=sys.stderr, disable=quiet) as progress:
        for chunk in itertools.compress(sweep.chunks, missing):
            lanes = sweep.compute(chunk)
            if unfinished:
                unfinished.write(chunk, lanes)
            yield chunk, lanes
            progress.update(chunk.stop - chunk.start)
