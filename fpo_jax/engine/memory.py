"""How much memory programs and runs take, and how much is free, estimated before anything is allocated."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import psutil
from jaxtyping import PyTree

from fpo_jax.errors import InputError

FREE_SHARE = 0.8
"""Share of the free memory that one computation may take."""
STATES = 2
"""How many copies of states and instances a program holds: its inputs and its outputs."""
HOST_TRACES = 3
"""How many copies of the entries of watched runs the host holds: the parts, the whole, and the reported
ones.
"""
LARGE = 0.01
"""Above this share of the memory a kept program is compiled to ask XLA; its call compiles it again."""
UNLIMITED = 2**60
"""A control group with a larger value has no limit."""


class Prepared(NamedTuple):
    """A program lowered for given arguments; JAX keeps its compilation for the call.

    Attributes:
        shapes: of its results.
        lowered: by JAX.
        is_kept: whether it is one of `fpo_jax.engine.kept_programs`, whose call compiles it again.
    """

    shapes: Any
    lowered: Any
    is_kept: bool = False

    def compiled_bytes(self) -> int:
        """Return the bytes that it takes on one device while it runs, according to XLA."""
        return program_bytes(self.lowered.compile())


class Need(NamedTuple):
    """The memory that runs take, in bytes.

    Attributes:
        seed: for a seed, apart from its entries.
        entry: for an entry of a seed.
    """

    seed: float
    entry: float


def prepared(program: Any, *arguments: Any, **static: Any) -> Prepared:
    """Return a program lowered for these arguments; their shapes suffice."""
    lowered = program.jitted.lower(*arguments, **static)
    return Prepared(lowered.out_info, lowered)


def tree_bytes(tree: PyTree) -> int:
    """Return the bytes of all arrays, or of arrays of these shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def program_bytes(program: Any) -> int:
    """Return the bytes that a compiled program takes on one device: arguments, results, temporaries."""
    stats = program.memory_analysis()
    return stats.argument_size_in_bytes + stats.output_size_in_bytes + stats.temp_size_in_bytes


def free_bytes() -> float:
    """Return the free memory of one device; host devices share the host's memory."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    return host_bytes() / jax.local_device_count()


def usable_bytes(devices: Sequence[jax.Device]) -> float:
    """Return the memory that these devices of one kind may use together."""
    stats = devices[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return FREE_SHARE * free_bytes() * len(devices)
    return FREE_SHARE * host_bytes()


def host_bytes(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """Return the memory of the host that this process may still take.

    The smallest of three: the free memory, the rest that its control groups (version 1 or 2) allow, and the
    rest of its address space (`ulimit -v`).

    Args:
        groups: where the file system of control groups is mounted.
        own: the file that names the groups of this process.
    """
    left = [float(psutil.virtual_memory().available), *_left_to_groups(groups, own)]
    if hasattr(psutil, "RLIMIT_AS"):  # Linux
        process = psutil.Process()
        limit, _ = process.rlimit(psutil.RLIMIT_AS)
        left += [limit - process.memory_info().vms] * (limit not in (-1, psutil.RLIM_INFINITY))
    return max(min(left), 0.0)


class Asked(NamedTuple):
    """A request for runs.

    Attributes:
        environment: its name, for error messages.
        seeds, entries: their numbers; the entry before any update is extra.
        every: iterations from one entry to the next.
        watched: whether they run in segments and the host gathers their entries.
        devices: how many of them compute.
        room: usable bytes on all of them.
    """

    environment: str
    seeds: int
    entries: int
    every: int
    watched: bool
    devices: int
    room: float

    def require(self, need: Need) -> None:
        """Check that these runs fit into memory.

        Raises:
            InputError: says how many seeds fit, or how many iterations of one seed.
        """
        room, one = self.room, need.seed + need.entry * (self.entries + 1)
        if self.seeds * one <= room:
            return
        can = f"{_shown(room)} can be used"
        if one <= room:
            allowed = f"at most {int(room // one)}: a run takes {_shown(one)} a seed, and {can}"
            raise InputError("seeds", self.seeds, allowed)
        fitting = int((room - need.seed) // need.entry) - 1 if need.entry else 0
        if fitting >= 1:
            entry = f"an entry takes {_shown(need.entry)}"
            allowed = f"at most {fitting * self.every} with one seed: {entry}, and {can}"
            raise InputError("steps", self.entries * self.every, allowed)
        allowed = f"smaller: one run takes {_shown(one)}, and {can}"
        raise InputError(self.environment, "of these sizes", allowed)

    def require_programs(self, begins: Prepared, first: Prepared, goes_on: Prepared, part: int) -> None:
        """Check that the runs fit as these programs run them.

        Args:
            begins: how all of them begin.
            first: responses and data of the first run; an iteration holds as much for every run.
            goes_on: computes `part` entries of all of them.

        Shapes come first, so that nothing is compiled in vain. They miss a program's temporaries. XLA needs
        1.6 to 2.6 times the shapes in most environments, but 5 to 10 times where a solve is iterative or all
        texts are enumerated, and 60 times where preferences compare all pairs. So XLA is asked too; for kept
        programs only if runs take more than `LARGE` of the usable memory.
        """
        trace = goes_on.shapes[1]
        lanes = len(trace.finite)
        entry = tree_bytes(trace) / lanes / (part + 1)
        kept = entry * (HOST_TRACES if self.watched else 1)
        held = STATES * tree_bytes(begins.shapes) / lanes + tree_bytes(first.shapes)
        self.require(Need(held, kept))
        if begins.is_kept and self.seeds * (held + kept * self.entries) <= LARGE * self.room:
            return
        with jax.enable_x64(True):
            most = begins.compiled_bytes()
        most = max(most, goes_on.compiled_bytes())
        written = 0 if self.watched else entry * (part + 1)  # within the program
        self.require(Need(most * self.devices / lanes - written, kept))


def _left_to_groups(groups: Path, own: Path) -> Iterator[float]:
    """Yield the remaining memory of each control group of this process, up to the root, if it has a limit."""
    try:
        lines = own.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":  # version 2, alone or beside version 1
            places, names = (groups, groups / "unified"), ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            places = (groups / "memory", groups / controllers)
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for place in places:
            for depth in range(len(parts) + 1):  # inside a container the path may be the host's
                left = _left_to(place.joinpath(*parts[:depth]), *names)
                if left is not None:
                    yield left


def _left_to(group: Path, limit: str, usage: str, cache: str) -> float | None:
    """Return the remaining memory of one group, or None without a limit; its file cache can be freed."""
    try:
        most = (group / limit).read_text(encoding="utf-8", errors="replace").strip()
        if not most.isdecimal() or int(most) >= UNLIMITED:
            return None
        used = int((group / usage).read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return None
    try:
        stats = dict(
            line.split()
            for line in (group / "memory.stat").read_text(encoding="utf-8", errors="replace").splitlines()
        )
        used -= min(used, int(stats.get(cache, 0)))
    except (OSError, ValueError):
        pass
    return float(int(most) - used)


def _shown(count: float) -> str:
    """Return a number of bytes in readable form."""
    unit, name = next(((u, n) for u, n in ((1e9, "GB"), (1e6, "MB")) if count >= u), (1e3, "kB"))
    return f"{count / unit:.3g} {name}"
