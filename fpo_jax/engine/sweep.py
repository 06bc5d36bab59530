"""Sweeps: each cell of a grid × each seed is a lane of one compiled program, which runs in chunks.

A cell is an environment, a leader and a follower. Cells that differ only in real-valued hyperparameters have
one structure and share a program, in which those numbers are data. RLHF, relaxed and practical FPO are also
one structure: FPO with different numbers. Every cell has the same seeds, so cells are compared pair by pair.

Lanes are divided evenly among all devices, including those of other processes. All chunks have the same
width, so the results of a chunk depend only on its lanes, and a sweep can stop and resume between two chunks.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from fpo_jax.engine.cells import Cell, cell_of, in_one_form, structures
from fpo_jax.engine.checks import check_run, named_if_not_differentiable
from fpo_jax.engine.compilation import LIGHTLY, Compiled
from fpo_jax.engine.initial import Beginning, at_precision, begin_run, in_double, keeper, seed_keys
from fpo_jax.engine.lanes import along_lanes, in_lanes, placed
from fpo_jax.engine.memory import FREE_SHARE, free_bytes, program_bytes
from fpo_jax.engine.segments import awaited
from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import LARGEST, kebab
from fpo_jax.internals import programs_of
from fpo_jax.record import Record, outcome
from fpo_jax.run import play

WIDTH = 1024
"""Default limit on lanes of a chunk for each device; the benchmark of sweeps shows why."""


class LaneResults(NamedTuple):
    """Results of runs, with leading axes [lane] for a chunk and [cell, seed] for a sweep.

    Attributes:
        metrics: [..., entry] each, by name; entry i comes after i · every iterations.
        finite: [..., entry] whether everything was finite.
        optimum: [...] the true utility that no policy exceeds.
    """

    metrics: dict[str, np.ndarray]
    finite: np.ndarray
    optimum: np.ndarray


class Chunk(NamedTuple):
    """Lanes start … stop − 1 of one program; lane l is seed l mod n of the program's cell ⌊l / n⌋."""

    program: int
    start: int
    stop: int


class Sweep:
    """A grid of cells × seeds, divided into chunks that run one after the other.

    Examples:
        >>> from fpo_jax.envs.bandit import Bandit
        >>> from fpo_jax import BestResponse, Leader, Relaxed
        >>> follower = BestResponse(alpha=0.3, ridge=0.1)
        >>> leaders = [Leader(Relaxed(weight=w), policy_lr=1.0) for w in (0.0, 0.1, 0.3)]
        >>> cells = [Cell(Bandit(), leader, follower) for leader in leaders]
        >>> sweep = Sweep(cells, seeds=range(4), steps=20, every=10)
        >>> sweep.run().metrics["true_utility"].shape
        (3, 4, 3)

    Args:
        cells: what to run; at least one.
        seeds: the seeds of every cell, each in [0, 2³¹).
        steps: iterations T of every run, >= 1.
        record: what to record, as in `fpo_jax.run`.
        every: iterations from one entry to the next; it divides T.
        width: lanes that run at once, rounded up to a multiple of the devices. The default is a power of two
        for each device, so that a larger grid seldom compiles anew: at most `WIDTH`, less if memory is short.
        tell: called with what is being compiled, since that may take longer than the runs.

    Attributes:
        width: the chosen width.
        chunks: in the order in which they run.

    Raises:
        InputError: for no cell, no seed, a hyperparameter out of range, or a width too large for the memory.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        seeds: Sequence[int] | np.ndarray,
        *,
        steps: int,
        record: Record = outcome,
        every: int = 1,
        width: int | None = None,
        tell: Callable[[str], None] = lambda what: None,
    ):
        self._tell = tell
        self.seeds = np.asarray(seeds)
        if len(cells) == 0 or self.seeds.size == 0:
            raise InputError(
                "grid", f"{len(cells)} cells × {self.seeds.size} seeds", "at least one cell and one seed"
            )
        tell("checking the cells")
        keys = [seed_keys(1, int(seed)) for seed in (self.seeds.min(), self.seeds.max())]
        for cell in cells:
            check_run(*cell, keys[0], steps, every)
        self.cells = len(cells)
        self._followers = [cell.follower for cell in cells]
        self._methods = [kebab(type(cell.leader.objective).__name__) for cell in cells]
        self._devices = tuple(jax.devices())
        self._options: dict[str, Any] = {
            "steps": steps,
            "record": record,
            "every": every,
            "devices": self._devices,
        }
        self._structures = structures(in_one_form(cells))
        self.width = self._fitting(width)
        self.chunks = [
            Chunk(program, start, min(start + self.width, lanes))
            for program, structure in enumerate(self._structures)
            for lanes in [len(structure.cells) * self.seeds.size]
            for start in range(0, lanes, self.width)
        ]

    def compute(self, chunk: Chunk) -> LaneResults:
        """Run the lanes of one chunk; this can be interrupted from the keyboard."""
        structure = self._structures[chunk.program]
        with in_double(()) as precision:
            start = self._arguments(chunk, self.width)
            beginning = _begin_lanes(*start, **self._static(chunk.program), precision=precision)
        # anew, since numbers on devices keep their original precision
        arguments = *self._arguments(chunk, self.width), beginning
        results = _run_lanes(*arguments, treedef=structure.treedef, **self._options)
        awaited(results)
        if jax.process_count() > 1:
            results = multihost_utils.process_allgather(results, tiled=True)
        return jax.tree.map(lambda leaf: np.asarray(leaf)[: chunk.stop - chunk.start], results)

    def place(self, chunk: Chunk) -> tuple[np.ndarray, np.ndarray]:
        """Return the cell, and the position among the seeds, of each lane of a chunk."""
        row, seed = np.divmod(np.arange(chunk.start, chunk.stop), self.seeds.size)
        return self._structures[chunk.program].cells[row], seed

    def gather(self, results: Iterable[tuple[Chunk, LaneResults]]) -> LaneResults:
        """Join the results of chunks, [cell, seed, ...]; a metric that a cell lacks is NaN."""
        metrics: dict[str, np.ndarray] = {}
        rest: dict[str, np.ndarray] = {}
        for chunk, lanes in results:
            place = self.place(chunk)
            given = {"finite": lanes.finite, "optimum": lanes.optimum}
            for whole, part in ((metrics, lanes.metrics), (rest, given)):
                for name, values in part.items():
                    if name not in whole:
                        shape = self.cells, self.seeds.size, *values.shape[1:]
                        whole[name] = np.full(shape, False if values.dtype == bool else np.nan, values.dtype)
                    whole[name][place] = values
        return LaneResults(metrics, **rest)

    def run(self) -> LaneResults:
        """Run everything, and return it with leading axes [cell, seed]."""
        return self.gather((chunk, self.compute(chunk)) for chunk in self.chunks)

    def result_bytes(self) -> int:
        """Return the size of all results together."""
        total = 0
        for number, structure in enumerate(self._structures):
            outputs = jax.tree.leaves(self._lowered(number, self.width).out_info)
            lane = sum(leaf.size * leaf.dtype.itemsize for leaf in outputs) // self.width
            total += lane * len(structure.cells) * self.seeds.size
        return total

    def chunk_bytes(self) -> int:
        """Return the bytes that the largest program takes for a chunk, on all local devices."""
        return self._needed(self.width) * jax.local_device_count()

    def _needed(self, width: int) -> int:
        """Return the bytes that the larger of the two programs takes on one device."""
        needed = [0]
        for number, structure in enumerate(self._structures):
            methods = ", ".join(dict.fromkeys(self._methods[cell] for cell in structure.cells))
            of = f"of {methods} (program {number + 1} of {len(self._structures)})"
            self._tell(f"compiling how runs begin {of}")
            with in_double(()) as precision:
                arguments = self._shapes(number, width)
                beginning = _begin_lanes.jitted.lower(*arguments, **self._static(number), precision=precision)
                needed.append(program_bytes(beginning.compile()))
            self._tell(f"compiling the iterations {of}")
            needed.append(program_bytes(self._lowered(number, width).compile()))
        return max(needed)

    def _arguments(self, chunk: Chunk, width: int) -> tuple[Any, Any]:
        """Return the arguments that lanes of a chunk share, and each lane's own, padded to the width."""
        structure = self._structures[chunk.program]
        lane = chunk.start + np.arange(width) % (chunk.stop - chunk.start)
        row, seed = np.divmod(lane, self.seeds.size)
        lanes = jax.tree.map(lambda leaf: leaf[row], structure.varying), self.seeds[seed].astype(np.int32)
        if len(self._devices) > 1:
            along = along_lanes(self._devices)
            # each process places its own part of an array that all of them have
            lanes = jax.tree.map(
                lambda leaf: jax.make_array_from_callback(leaf.shape, along, leaf.__getitem__), lanes
            )
        return structure.shared, lanes

    def _shapes(self, program: int, width: int) -> tuple[Any, Any]:
        """Return the shapes of `_arguments` for this many lanes, without making them all."""
        shared, lanes = self._arguments(Chunk(program, 0, 1), len(self._devices))

        def wide(leaf: Any) -> jax.ShapeDtypeStruct:
            sharding, kind = getattr(leaf, "sharding", None), jax.typeof(leaf)  # in JAX's precision
            return jax.ShapeDtypeStruct((width, *kind.shape[1:]), kind.dtype, sharding=sharding)

        return shared, jax.tree.map(wide, lanes)

    def _lowered(self, program: int, width: int) -> Any:
        structure = self._structures[program]
        with in_double(()) as precision:
            beginning = jax.eval_shape(
                partial(_begin_lanes, **self._static(program), precision=precision),
                *self._shapes(program, width),
            )
        beginning = placed(beginning, self._devices)
        with named_if_not_differentiable(self._followers[structure.cells[0]]):
            arguments = *self._shapes(program, width), beginning
            return _run_lanes.lower(*arguments, treedef=structure.treedef, **self._options)

    def _static(self, program: int) -> dict[str, Any]:
        return {"treedef": self._structures[program].treedef, "devices": self._devices}

    def _fitting(self, asked: int | None) -> int:
        """Return the number of lanes that fit into memory at once."""
        devices = len(self._devices)
        if asked is None:
            most = max(len(structure.cells) for structure in self._structures) * self.seeds.size
            width = min(2 ** math.ceil(math.log2(-(-most // devices))), WIDTH) * devices
        elif isinstance(asked, bool) or not isinstance(asked, int | np.integer) or asked < 1:
            raise InputError("width", asked, "an integer >= 1")
        else:
            width = -(-asked // devices) * devices
        room = FREE_SHARE * free_bytes()
        if width > LARGEST:
            raise InputError("width", asked, f"an integer >= 1 and <= {LARGEST}")
        needed = self._needed(width)
        if needed <= room:
            return width
        fitting = int(width * room / needed) // devices * devices
        if asked is not None or fitting < devices:
            per_lane, free = needed * devices / width / 1e6, room * devices / 1e9
            allowed = f"at most {fitting}: a run takes {per_lane:.3g} MB, and {free:.3g} GB can be used"
            raise InputError("width", width, allowed)
        return self._fitting(2 ** int(math.log2(fitting // devices)) * devices)


def programs_compiled() -> int:
    """Return the number of programs that sweeps have compiled in this process."""
    return programs_of(_run_lanes)


@partial(Compiled, options=LIGHTLY, static_argnames=("treedef", "devices", "precision"))
def _begin_lanes(
    shared: Any, lanes: Any, *, treedef: Any, devices: tuple[jax.Device, ...], precision: str
) -> Beginning:
    def one(shared: Any, lane: Any) -> Beginning:
        varying, seed = lane
        cell = cell_of(treedef, shared, varying)
        kept = keeper(cell.leader)
        return begin_run(cell.environment, cell.follower, jax.random.key(seed), leader=kept)

    common, own = at_precision((shared, lanes), jnp.result_type(float).name)
    return cast(Beginning, at_precision(in_lanes(one, devices)(common, own), precision))


@partial(jax.jit, static_argnames=("treedef", "steps", "record", "every", "devices"))
def _run_lanes(
    shared: Any,
    lanes: Any,
    beginning: Beginning,
    *,
    treedef: Any,
    devices: tuple[jax.Device, ...],
    **options: Any,
) -> LaneResults:
    def one(shared: Any, own: Any) -> LaneResults:
        (varying, seed), (game, state, optimum) = own
        cell, key = cell_of(treedef, shared, varying), jax.random.key(seed)
        _, trace = play(game, cell.leader, cell.follower, state, key, **options)
        results: Any = trace.metrics, trace.finite, optimum
        return LaneResults(*results)

    return in_lanes(one, devices)(shared, (lanes, beginning))
