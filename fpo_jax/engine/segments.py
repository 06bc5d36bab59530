"""A run cut into segments of its iterations, each a call of one program, so that the host hears of it live.

Nothing within the program calls the host: what does could be neither kept between processes nor taken apart.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from fpo_jax.engine.initial import Reached
from fpo_jax.errors import InputError
from fpo_jax.types import Trace

FEWEST, MOST = 20, 50
"""Segments of a run that has enough rows."""

OnEntry = Callable[[int, dict[str, np.ndarray]], None]
"""What a user's logger is: it gets the iteration of an entry and its metrics by name."""


class Partway(NamedTuple):
    """How far runs that stand side by side have come.

    Attributes:
        done: how many entries are done.
        entries: how many there will be.
        reached: [lane, …] what is reached after them, by seed; lanes beyond the seeds are of no account.
        trace: [seed, entry] the last entries that were done: those of one segment, or all where a run is to
            go on from here.
    """

    done: int
    entries: int
    reached: Reached
    trace: Trace


Watch = Callable[[Partway], None]


def segment_rows(rows: int) -> int:
    """Return how many rows make a segment: so many that as few as can be are computed beyond the last.

    There are 20 to 50 segments, fewer where there are fewer rows.
    """
    longest = max(rows // FEWEST, -(-rows // MOST))
    return min(range(-(-rows // MOST), longest + 1), key=lambda length: -rows % length)


def in_segments(
    advance: Callable[[Reached, int], tuple[Reached, Trace]],
    first: Reached,
    seeds: int,
    entries: int,
    length: int,
    watch: Watch,
    partway: Partway | None,
) -> tuple[Reached, Trace]:
    """Run segment by segment, and let `watch` see each as soon as it is done, while the next one runs.

    Args:
        advance: from what is reached, and the number of entries done, through the next `length` entries.
        first: what is reached before any of them.
        seeds: how many lanes are seeds.
        entries: how many entries there are.
        length: entries of a segment.
        watch: called after each segment; what it raises ends the run.
        partway: where to go on, in place of the beginning: the end of a segment.

    Returns:
        What is reached, and all entries, in the host's memory.
    """
    reached, parts, begin = first, [], 0
    if partway is not None:
        parts, begin = [partway.trace], partway.done
        reached = jax.tree.map(_placed_like, partway.reached, first)
    ahead = advance(reached, begin) if begin < entries else None
    for start in range(begin, entries, length):
        assert ahead is not None
        reached, trace = ahead
        stop = min(start + length, entries)
        ahead = advance(reached, stop) if stop < entries else None
        awaited((reached, trace))
        parts.append(jax.tree.map(lambda leaf: leaf[:seeds, : stop - start], _on_host(trace)))  # noqa: B023
        watch(Partway(stop, entries, reached, parts[-1]))
    return (
        jax.tree.map(lambda leaf: leaf[:seeds], _on_host(reached)),
        jax.tree.map(lambda *leaves: _library(leaves[0]).concatenate(leaves, axis=1), *parts),
    )


def entry_by_entry(on_entry: OnEntry | None, every: int, seed: int | slice) -> Watch | None:
    """Return what calls a user's hook for each entry of a segment, with the metrics of a seed or of all.

    Raises:
        InputError: when the hook is no function.
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
    """Wait for results; meanwhile it can be interrupted from the keyboard, as blocking on devices cannot."""
    pause = 1e-4  # seconds
    while not all(leaf.is_ready() for leaf in jax.tree.leaves(results)):
        time.sleep(pause)
        pause = min(1.1 * pause, 0.05)
    return results


def _placed_like(leaf: Any, like: jax.Array) -> jax.Array:
    """Return the numbers of seeds where those of all lanes lie; further lanes repeat the first seed."""
    missing = len(like) - len(leaf)
    whole = np.concatenate([leaf, np.broadcast_to(leaf[:1], (missing, *leaf.shape[1:]))])
    return jax.device_put(whole, like.sharding)


def _on_host(tree: PyTree) -> PyTree:
    """Return NumPy arrays; keys stay with JAX, which alone knows them."""

    def leaf_on_host(leaf: jax.Array) -> Any:
        return leaf if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else np.asarray(leaf)

    return jax.tree.map(leaf_on_host, tree)


def _library(leaf: Any) -> Any:
    return np if isinstance(leaf, np.ndarray) else jnp
