"""A run that is saved as it proceeds, so that a killed one can be resumed."""

import itertools
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np

from fpo_jax.engine.segments import Partway, segment_lengths
from fpo_jax.errors import InputError
from fpo_jax.experiments.core.npz_files import Damaged
from fpo_jax.experiments.core.settings import Settings
from fpo_jax.experiments.core.unfinished import Unfinished, conditions, on_a_full_disk, room
from fpo_jax.experiments.runs import states
from fpo_jax.experiments.runs.result import Diverged
from fpo_jax.types import State, Trace

KEEP_EVERY = 10.0
"""Seconds of a run between two saves."""


class UnfinishedRun(Unfinished):
    """The progress of an unfinished run, in the folder NAME.partial beside its results NAME.

    Each file holds the entries between two saves, and the state at the second one. A short run writes none.

    Args:
        out: the folder of the results.
        settings: the settings of the run.
        save_states: whether the run saves the states of all seeds at every entry.
    """

    def __init__(self, out: Path, settings: Settings, save_states: bool):
        super().__init__(out, "run")
        self.settings, self.save_states = settings, save_states
        self._pieces: list[Partway] = []  # segments that are not saved yet
        self._when = time.monotonic() + KEEP_EVERY

    @contextmanager
    def at_work(self, resume: bool) -> Iterator[Self]:
        """Lock the folder during the run, and remove it at the end. An interrupted run saves its progress.

        Args:
            resume: continue an unfinished run if there is one.

        Raises:
            InputError: when an unfinished run is in the way or has other settings, or another process works
                on the folder.
        """
        with self.locked():
            if not resume:
                self.require_free()
            elif self.exists:
                self.resumed(self._asked())
            try:
                yield self
            except KeyboardInterrupt:
                if self.exists or time.monotonic() > self._when:  # a shorter run is soon repeated
                    self.keep()
                raise
            except Diverged:  # there is nothing to resume
                self.finish()
                raise
            self.finish()

    def partway(self) -> Partway | None:
        """Return the point from which to continue, or None if nothing is saved.

        If a file is damaged, everything after it is lost.
        """
        if not self.exists:
            return None
        one, _ = states.initial_shape(self.settings)
        seeds = self.settings.seeds
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((seeds, *leaf.shape), leaf.dtype), one)
        pieces: list[Partway] = []
        while (piece := self._next(pieces, like)) is not None:
            pieces.append(piece)
        if not pieces:
            return None
        trace = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *(p.trace for p in pieces))
        return pieces[-1]._replace(trace=trace)

    def _next(self, earlier: Sequence[Partway], like: State) -> Partway | None:
        """Return the longest intact piece that follows the earlier ones, or None if there is none."""
        done = earlier[-1].done if earlier else 0
        names = (re.fullmatch(rf"done-{done}-(\d+)\.npz", path.name) for path in self.folder.iterdir())
        for name in sorted(filter(None, names), key=lambda name: -int(name[1])):
            try:
                piece = _from_arrays(self.read_arrays(name[0]), like)
                _check(piece, like, earlier, self.settings.steps + 1)
            except (Damaged, KeyError, TypeError, ValueError):
                continue
            return piece
        return None

    def watch(self, partway: Partway) -> None:
        """Receive a finished segment, and save the progress if the last save is `KEEP_EVERY` seconds ago."""
        self._pieces.append(partway)
        if time.monotonic() > self._when:
            self.keep()

    def keep(self) -> None:
        """Save the progress since the last save. Calling it again after a failure writes the same file."""
        pieces = tuple(self._pieces)
        if not pieces:
            return
        began, last = time.monotonic(), pieces[-1]
        state = jax.tree.map(lambda leaf: np.asarray(leaf)[: self.settings.seeds], last.state)
        trace = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *(p.trace for p in pieces))
        first = last.done - len(trace.finite[0])
        with on_a_full_disk(self.folder):
            if not self.exists:
                self.begin(self._asked() | conditions())
            arrays = _arrays(last._replace(state=state, trace=trace))
            self.write_arrays(f"done-{first}-{last.done}.npz", arrays)
        del self._pieces[: len(pieces)]
        now = time.monotonic()
        self._when = now + KEEP_EVERY + 10.0 * (now - began)  # writing takes a tenth of the time at most

    def _asked(self) -> dict[str, Any]:
        return self.settings.as_dict() | {"save_states": self.save_states}


def require_room(settings: Settings, out: Path) -> None:
    """Check that the states of all seeds at every entry fit in memory, and on the disk beside saved progress.

    Raises:
        InputError: when they do not fit, with the room that there is.
    """
    size = states.size(settings)
    for place, most in room(out).items():
        if size > most:
            allowed = f"at most {most / 1e9:.3g} GB {place}; use fewer seeds or iterations"
            raise InputError("save_states", f"{size / 1e9:.3g} GB", allowed)


def _arrays(partway: Partway) -> dict[str, np.ndarray]:
    trace = partway.trace
    kept = {} if trace.state is None else _under("states", states.named(trace.state))
    return {
        "done": np.array([partway.done, partway.entries]),
        "finite": np.asarray(trace.finite),
        **_under("state", states.named(partway.state)),
        **_under("metrics", {name: np.asarray(values) for name, values in trace.metrics.items()}),
        **kept,
    }


def _from_arrays(arrays: dict[str, np.ndarray], like: State) -> Partway:
    if arrays["done"].dtype.kind not in "iu":
        raise Damaged("of no number of entries")
    done, entries = map(int, arrays["done"])
    kept = _within("states", arrays)
    metrics: dict[str, Any] = _within("metrics", arrays)
    trace: Any = metrics, states.from_named(kept, like) if kept else None, arrays["finite"]
    state = states.from_named(_within("state", arrays), like)
    return Partway(done, entries, state, Trace(*trace))


def _check(piece: Partway, like: State, earlier: Sequence[Partway], entries: int) -> None:
    """Raise a Damaged if the arrays do not hold the entries that follow the earlier ones."""
    trace, seeds = piece.trace, len(piece.trace.finite)
    count = piece.done - (earlier[-1].done if earlier else 0)
    of_entry = [((seeds, count, *shape[1:]), dtype) for shape, dtype in _shapes(like)]
    rows = [*trace.metrics.values(), trace.finite]
    first = earlier[0].trace if earlier else trace
    whole = (
        piece.entries == entries
        and piece.done - 1 in itertools.accumulate(segment_lengths(entries - 1))
        and _shapes(piece.state) == _shapes(like)
        and (trace.state is None or _shapes(trace.state) == of_entry)
        and all(row.shape == (seeds, count) for row in rows)
        and all(row.dtype.kind in "fb" for row in rows)
        and len({jax.tree.structure(one) for one in (trace, first)}) == 1
    )
    if not whole:
        raise Damaged("of other entries")


def _shapes(tree: Any) -> list[tuple[tuple[int, ...], Any]]:
    return [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]


def _under(place: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{place}/{name}": values for name, values in arrays.items()}


def _within(place: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    mark = f"{place}/"
    return {name.removeprefix(mark): v for name, v in arrays.items() if name.startswith(mark)}
