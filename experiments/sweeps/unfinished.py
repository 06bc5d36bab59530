"""The folder of an unfinished sweep: one file a chunk."""

from pathlib import Path

from fpo_jax.engine.sweep import Chunk, LaneResults
from fpo_jax.experiments.core.npz_files import Damaged
from fpo_jax.experiments.core.unfinished import Unfinished


class UnfinishedSweep(Unfinished):
    """The progress of an unfinished sweep, in the folder NAME.partial beside its results NAME."""

    def __init__(self, out: Path):
        super().__init__(out, "sweep")

    def write(self, chunk: Chunk, lanes: LaneResults) -> None:
        """Write the results of one chunk atomically."""
        arrays = {"finite": lanes.finite, "optimum": lanes.optimum}
        arrays |= {f"metrics/{name}": values for name, values in lanes.metrics.items()}
        self.write_arrays(_name(chunk), arrays)

    def read(self, chunk: Chunk) -> LaneResults | None:
        """Return the results of one chunk, or None if there are none.

        Raises:
            Damaged: when they are not as written.
        """
        path = self.folder / _name(chunk)
        if not path.exists():
            return None
        arrays = self.read_arrays(path.name)
        try:
            lanes = LaneResults(finite=arrays.pop("finite"), optimum=arrays.pop("optimum"), metrics={})
            if {len(values) for values in (*arrays.values(), *lanes[1:])} != {chunk.stop - chunk.start}:
                raise ValueError
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(path.name) from error
        metrics = {name.removeprefix("metrics/"): values for name, values in arrays.items()}
        return lanes._replace(metrics=metrics)


def _name(chunk: Chunk) -> str:
    return f"done-{chunk.program}-{chunk.start}-{chunk.stop}.npz"
