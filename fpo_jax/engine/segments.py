"""A run cut into segments of iterations, each one call of a program, so that the host can follow it live.

Nothing inside the program calls the host; such a program could be neither kept between processes nor cut.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from fpo_jax.errors import InputError
from fpo_jax.types import State, Trace

FEWEST, MOST, SHORTEST = 20, 50, 10
"""Segments of a long enough run, and the fewest entries of a segment, since each computes one entry in
vain.
"""

OnEntry = Callable[[int, dict[str, np.ndarray]], None]
"""The type of a user's hook: it gets the iteration of an entry and its metrics by name."""


class Partway(NamedTuple):
    """The progress of runs side by side.

    Attributes:
        done: number of finished entries.
        entries: number of entries at the end.
        state: [lane, …] after them; lanes beyond the seeds have no meaning.
        trace: [seed, entry] the new entries, or all entries if a run is to continue from here.
    """

    done: int
    entries: int
    state: State
    trace: Trace


Watch = Callable[[Partway], None]


def segment_lengths(entries: int) -> list[int]:
    """Return the number of entries of each segment: 20 to 50 segments, or fewer of 10 to 20 entries.

    All have one length if a number in that range divides the entries; otherwise the last is shorter, and it
    needs its own program.
    """
    if entries < FEWEST * SHORTEST:
        candidates = range(min(entries, SHORTEST), min(entries, 2 * SHORTEST) + 1)
        length = max(candidates, key=lambda length: (entries % length == 0, length))
    else:
        parts = next((n for n in range(FEWEST, MOST + 1) if entries % n == 0), FEWEST)
        length = entries // parts
    whole, rest = divmod(entries, length)
    return [length] * whole + [rest] * (rest > 0)


def in_segments(
    advance: Callable[[State, int, int], tuple[State, Trace]],
    state: State,
    seeds: int,
    lengths: Sequence[int],
    every: int,
    watch: Watch,
    partway: Partway | None,
) -> tuple[State, Trace]:
    """Run segment by segment, and show each finished segment to `watch` while the next one runs.

    Args:
        advance: runs from a state, at a given iteration, through this many more entries.
        state: [lane, …] before any update.
        seeds: number of lanes that are seeds.
        lengths: further entries of each segment.
        every: iterations from one entry to the next.
        watch: called after each segment; an exception ends the run.
        partway: the end of a segment, to continue from there instead of the beginning.

    Returns:
        The final state, and all entries, in the host's memory.

    Raises:
        InputError: when the kept entries do not match what is recorded now.
    """
    parts, done, entries = [], 0, sum(lengths) + 1
    ends = list(itertools.accumulate(lengths))
    if partway is not None:
        parts, done = [partway.trace], partway.done
        state = jax.tree.map(_placed_like, partway.state, state)
    left = [(end - length, length) for end, length in zip(ends, lengths, strict=True) if end >= done]
    ahead = [advance(state, every * start, length) for start, length in left[:1]]
    for number, (start, length) in enumerate(left):
        state, trace = ahead.pop()
        ahead = [advance(state, every * first, more) for first, more in left[number + 1 : number + 2]]
        awaited((state, trace))
        repeated = int(start > 0)  # a segment begins with the entry with which the last one ended
        parts.append(jax.tree.map(lambda leaf: leaf[:seeds, repeated:], _on_host(trace)))  # noqa: B023
        if len({jax.tree.structure(part) for part in parts}) > 1:
            raise InputError("partway", "entries of another record", "what is recorded now")
        watch(Partway(start + length + 1, entries, state, parts[-1]))
    return (
        jax.tree.map(lambda leaf: leaf[:seeds], _on_host(state)),
        jax.tree.map(lambda *leaves: _library(leaves[0]).concatenate(leaves, axis=1), *parts),
    )


def entry_by_entry(on_entry: OnEntry | None, every: int, seed: int | slice) -> Watch | None:
    """Return a function that calls a user's hook for each entry of a segment, with its metrics.

    Raises:
        InputError: when the hook is not callable.
    """
    if on_entry is None:
        return None
    if not callable(on_entry):
        raise InputError("on_entry", on_entry, "None, or a function of an iteration and its metrics by name")

    def watch(partway: Partway) -> None:
        metrics = partway.trace.metrics
        count = len(partway.trace.finite[0])
        for i in range(count):
            iteration = (partway.done - count + i) * every
            on_entry(iteration, {name: np.asarray(values[seed, i]) for name, values in metrics.items()})

    return watch


def awaited(results: PyTree) -> PyTree:
    """Wait for results; unlike blocking on devices, this can be interrupted from the keyboard."""
    pause = 1e-4  # seconds
    while not all(leaf.is_ready() for leaf in jax.tree.leaves(results)):
        time.sleep(pause)
        pause = min(1.1 * pause, 0.05)
    return results


def _placed_like(leaf: Any, like: jax.Array) -> jax.Array:
    """Return the arrays of seeds placed as those of all lanes are; extra lanes repeat the first seed."""
    missing = len(like) - len(leaf)
    whole = np.concatenate([leaf, np.broadcast_to(leaf[:1], (missing, *leaf.shape[1:]))])
    return jax.device_put(whole, like.sharding)


def _on_host(tree: PyTree) -> PyTree:
    """Return NumPy arrays; keys stay JAX arrays, since NumPy has no such type."""

    def leaf_on_host(leaf: jax.Array) -> Any:
        return leaf if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else np.asarray(leaf)

    return jax.tree.map(leaf_on_host, tree)


def _library(leaf: Any) -> Any:
    return np if isinstance(leaf, np.ndarray) else jnp
