"""Run a sweep into a folder, which is resumable during the run and complete when it appears."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from jax.experimental import multihost_utils

from fpo_jax.engine.sweep import Cell, Chunk, LaneResults, Sweep
from fpo_jax.errors import InputError
from fpo_jax.experiments.core.npz_files import Damaged
from fpo_jax.experiments.core.progress import Tell, silent
from fpo_jax.experiments.core.result_folder import require_writable
from fpo_jax.experiments.core.settings import RECORDS, in_precision
from fpo_jax.experiments.core.unfinished import conditions, on_a_full_disk, room
from fpo_jax.experiments.core.wording import counted
from fpo_jax.experiments.sweeps import dataset as data
from fpo_jax.experiments.sweeps.grid import Grid, divisors, make_grid
from fpo_jax.experiments.sweeps.unfinished import UnfinishedSweep

LEAST_ENTRY = 5
"""Bytes of an entry with one metric in float32 and its finite flag."""


def run_grid(grid: Grid, width: int | None = None, tell: Tell = silent) -> xr.Dataset:
    """Run a grid in memory, and return its results as arrays with named axes."""
    with in_precision(grid.precision):
        sweep = _sweep_of(grid, width, tell)
        _require_room(grid, sweep, None)
        return data.to_dataset(grid, sweep.gather(_computed(sweep, {}, None, tell)))


def sweep_into(
    out: Path,
    grid: Grid | None,
    resume: bool = False,
    width: int | None = None,
    tell: Tell = silent,
) -> tuple[Grid, xr.Dataset | None]:
    """Run a grid into a folder, or resume an interrupted sweep.

    Args:
        out: folder to write; it appears at the end, and until then the work is in NAME.partial.
        grid: what to run; when resuming, None takes the grid of the unfinished sweep.
        resume: continue the work in NAME.partial, or begin if there is none.
        width: lanes of a chunk; when resuming, None takes that of the unfinished sweep.
        tell: hears what is done now.

    Returns:
        The grid and its results; only the first process has results, and writes them.

    Raises:
        InputError: when there is nothing to resume or to begin, an unfinished sweep is in the way or has
            another configuration, another sweep uses the same folder, or results are too large for the disk
            or memory.
    """
    require_writable(out)
    unfinished, first = UnfinishedSweep(out), jax.process_index() == 0
    with unfinished.locked() if first else contextlib.nullcontext():
        with _all_or_none():
            resuming = resume and unfinished.exists
            planned, width = _planned(unfinished, grid, resume, width)
            with in_precision(planned.precision):
                sweep = _sweep_of(planned, width, tell)
                kept = _finished_chunks(unfinished, sweep) if resuming else {}
                if first and not resuming:
                    _require_room(planned, sweep, unfinished.folder)
            if first and not resuming:
                with on_a_full_disk(out):
                    unfinished.begin(_description(planned, sweep))
        _require_same(sweep.width, len(kept))
        with in_precision(planned.precision), on_a_full_disk(out):
            lanes = sweep.gather(_computed(sweep, kept, unfinished if first else None, tell))
        if not first:
            return planned, None
        result = data.to_dataset(planned, lanes)
        from fpo_jax.experiments.sweeps.files import write  # not needed until all is computed

        write(out, planned, result)
        unfinished.finish()
    return planned, result


def _sweep_of(grid: Grid, width: int | None, tell: Tell) -> Sweep:
    _require_few_runs(grid)
    cells = [Cell(*settings.build()) for settings in grid.cells]
    seeds, record = grid.seed + np.arange(grid.seeds), RECORDS[grid.record]
    return Sweep(cells, seeds, steps=grid.steps, record=record, every=grid.every, width=width, tell=tell)


def _require_few_runs(grid: Grid) -> None:
    """Check, before making seeds or cells, that at least one number of each entry of each run fits.

    Raises:
        InputError: says how many seeds fit at most, or that one does not.
    """
    cells, entries = len(grid.cells), grid.steps // grid.every + 1
    a_seed, most = LEAST_ENTRY * cells * entries, room(None)["in memory"]
    if a_seed > most:
        allowed = f"larger: {entries} entries of {counted(cells, 'cell')} take more than {most / 1e9:.3g} GB"
        raise InputError("every", grid.every, allowed)
    if grid.seeds * a_seed > most:
        allowed = f"at most {int(most // a_seed)}, whose results fit into {most / 1e9:.3g} GB"
        raise InputError("seeds", grid.seeds, allowed)


def _description(grid: Grid, sweep: Sweep) -> dict[str, Any]:
    """Return what the bits of a sweep's results depend on: the grid, and how it is computed."""
    return grid.as_dict() | {"width": sweep.width} | conditions()


def _planned(
    unfinished: UnfinishedSweep, grid: Grid | None, resume: bool, width: int | None
) -> tuple[Grid, int | None]:
    """Return the grid to run and the requested width, or those of the unfinished sweep when resuming.

    Raises:
        InputError: when there is nothing to resume or to begin, something is in the way, or grid or width
            differ from the unfinished sweep; shows the first difference.
    """
    if not resume:
        if jax.process_index() == 0:
            unfinished.require_free()
        assert grid is not None
        return grid, width
    if not unfinished.exists:
        if grid is None:
            allowed = "an interrupted sweep, but there is none; to begin one, give its options"
            raise InputError("resume", unfinished.folder, allowed)
        return grid, width
    asked = {} if grid is None else grid.as_dict()
    asked |= {} if width is None else {"width": -(-width // jax.device_count()) * jax.device_count()}
    earlier = unfinished.resumed(asked)
    width = earlier.pop("width", None)  # None: the folder is not a sweep
    return make_grid(earlier), width


@contextlib.contextmanager
def _all_or_none() -> Iterator[None]:
    """Let several processes begin together or not at all: if one refuses, the others report it and stop."""
    refused: InputError | None = None
    try:
        yield
    except InputError as error:
        refused = error
    if jax.process_count() > 1:
        refusals = np.ravel(multihost_utils.process_allgather(np.array(refused is not None)))
        if refused is None and refusals.any():
            refused = InputError(
                "process", int(np.argmax(refusals)), "able to begin, but it refused: see its message"
            )
    if refused is not None:
        raise refused


def _require_same(width: int, kept: int) -> None:
    """Check that all processes run the same chunks, whatever memory and disk each of them has.

    Raises:
        InputError: names the numbers that differ.
    """
    if jax.process_count() > 1:
        gathered = multihost_utils.process_allgather(np.array([width, kept]))
        for name, numbers in zip(("width", "finished chunks"), gathered.T, strict=True):
            if len(set(numbers)) > 1:
                raise InputError(name, numbers.tolist(), "the same in all processes")


def _require_room(grid: Grid, sweep: Sweep, folder: Path | None) -> None:
    """Check that results fit in memory, and twice on the disk, since chunks are beside the complete result.

    Raises:
        InputError: says how often to record entries so that they fit.
    """
    copies = len(grid.points) / len(grid.cells)  # a method without a hyperparameter covers all its values
    size = sweep.result_bytes() * max(copies, 1.0)
    for place, most in room(folder).items():
        if size > most:
            entry = size / (grid.steps // grid.every + 1)
            fitting = [d for d in divisors(grid.steps) if entry * (grid.steps // d + 1) <= most]
            way = f"--every {fitting[0]} fits" if fitting else "fewer cells or seeds are needed"
            raise InputError("results", f"{size / 1e9:.3g} GB", f"at most {most / 1e9:.3g} GB {place}: {way}")


def _finished_chunks(unfinished: UnfinishedSweep, sweep: Sweep) -> dict[Chunk, LaneResults]:
    """Return the finished chunks of an unfinished sweep, without damaged ones."""
    kept: dict[Chunk, LaneResults] = {}
    for chunk in sweep.chunks:
        try:
            lanes = unfinished.read(chunk)
        except Damaged as error:
            if jax.process_index() == 0:
                sys.stderr.write(f"damaged, so computed again: {error}\n")
            continue
        kept |= {} if lanes is None else {chunk: lanes}
    return kept


def _computed(
    sweep: Sweep, kept: Mapping[Chunk, LaneResults], unfinished: UnfinishedSweep | None, tell: Tell
) -> Iterator[tuple[Chunk, LaneResults]]:
    """Yield the results of every chunk: saved ones first, then the others as they are computed."""
    yield from kept.items()
    total, done = (sum(chunk.stop - chunk.start for chunk in chunks) for chunks in (sweep.chunks, kept))
    tell(counted(total, "run"), done / total)
    for chunk in sweep.chunks:
        if chunk not in kept:
            lanes = sweep.compute(chunk)
            if unfinished:
                unfinished.write(chunk, lanes)
            yield chunk, lanes
            done += chunk.stop - chunk.start
            tell(counted(total, "run"), done / total)
