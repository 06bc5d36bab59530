"""The folder of an unfinished run of the pipeline: its settings and its progress."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import jax
import numpy as np

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.npz_files import Damaged, read_npz
from fpo_jax.experiments.core.unfinished import Unfinished
from fpo_jax.experiments.llm.learning import TrainState

STATE = "state.npz"


class TrainProgress(NamedTuple):
    """The progress of a run.

    Attributes:
        state: after the last step.
        steps: number of finished steps.
        written: the record of each, by name.
        seconds: the time of each.
    """

    state: TrainState
    steps: int
    written: tuple[Mapping[str, np.ndarray], ...]
    seconds: tuple[float, ...] = ()

    @classmethod
    def empty(cls, start: TrainState) -> Self:
        """Return the progress of a run that has not begun."""
        return cls(start, 0, ())

    def after(self, state: TrainState, written: Mapping[str, np.ndarray], seconds: float) -> "TrainProgress":
        """Return the progress after one more step."""
        return TrainProgress(state, self.steps + 1, (*self.written, written), (*self.seconds, seconds))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the records, with leading axis [step]."""
        return {name: np.stack([row[name] for row in self.written]) for name in self.written[0]}


class UnfinishedTraining(Unfinished):
    """The progress of an unfinished run, in the folder NAME.partial beside its results NAME."""

    def __init__(self, out: Path):
        super().__init__(out, "run", "llm")

    def require_same(self, description: Mapping[str, Any], but: Sequence[str]) -> None:
        """Raise an InputError if there is nothing to resume, or the run was begun with other settings."""
        if not self.exists:
            raise InputError(
                "resume", self.folder, "the folder of an interrupted run, but no run was interrupted"
            )
        earlier = self.config()
        for name, value in json.loads(json.dumps(description)).items():
            if name not in but and earlier.get(name) != value:
                raise InputError(name, value, f"{earlier.get(name)}, as in the run to resume")

    def save(self, progress: TrainProgress) -> None:
        """Save the progress of the run atomically."""
        leaves = {f"state/{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(progress.state))}
        written = {f"written/{n}": v for n, v in (progress.arrays() if progress.written else {}).items()}
        told = {"steps": np.array(progress.steps), "seconds": np.array(progress.seconds)}

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, allow_pickle=False, **leaves, **written, **told)

        self._put(STATE, write)

    def load(self, start: TrainProgress) -> TrainProgress:
        """Return the progress at the last checkpoint, or at the start if there is none.

        Raises:
            InputError: when the checkpoint is damaged.
        """
        path = self.folder / STATE
        if not path.exists():
            return start
        try:
            arrays = read_npz(path)
            leaves, structure = jax.tree.flatten(start.state)
            loaded = [arrays.pop(f"state/{i}") for i in range(len(leaves))]
            if any(a.shape != b.shape or a.dtype != b.dtype for a, b in zip(loaded, leaves, strict=True)):
                raise ValueError("of another shape")
            steps, seconds = int(arrays.pop("steps")), arrays.pop("seconds")
            named = {name.removeprefix("written/"): values for name, values in arrays.items()}
            if len(seconds) != steps or any(len(values) != steps for values in named.values()):
                raise ValueError("not all steps are there")
        except (Damaged, KeyError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            allowed = f"readable ({reason}); remove {self.folder} and start again"
            raise InputError("resume", path, allowed) from error
        placed = [jax.device_put(a, b.sharding) for a, b in zip(loaded, leaves, strict=True)]
        written = tuple({name: values[i] for name, values in named.items()} for i in range(steps))
        return TrainProgress(jax.tree.unflatten(structure, placed), steps, written, tuple(seconds.tolist()))
