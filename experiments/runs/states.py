"""The states of runs as named arrays: θ, φ, the follower's memory, and earlier policies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from fpo_jax.experiments.core.settings import Settings, in_precision
from fpo_jax.run import initial_state
from fpo_jax.types import Game, Key, RewardModel, State

FILE = "states.npz"


def named(state: State) -> dict[str, np.ndarray]:
    """Return the arrays of a state, named by their paths in its pytrees: `theta`, `phi/w`, `memory/0`."""
    paths, _ = jax.tree_util.tree_flatten_with_path(_parts(state))
    return {_name(path): np.asarray(leaf) for path, leaf in paths}


def from_named(arrays: Mapping[str, np.ndarray], like: State) -> State:
    """Return the state with these `named` arrays.

    Args:
        arrays: by name.
        like: any state of the same structure and types.

    Raises:
        KeyError: when an array is missing.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(_parts(like))
    # NumPy does not know some types, such as bfloat16, and stores only their bytes
    leaves = [arrays[_name(path)] for path, _ in paths]
    typed = [
        leaf.view(of.dtype) if leaf.dtype.kind == "V" else leaf
        for leaf, (_, of) in zip(leaves, paths, strict=True)
    ]
    parts = jax.tree.unflatten(structure, typed)
    return State(parts["theta"], RewardModel(parts["phi"], parts["memory"]), parts["earlier"])


def initial_shape(settings: Settings) -> tuple[State, bool]:
    """Return the shapes of the state of one run, and whether its responses have fixed places."""
    environment, leader, follower = settings.build()
    drawn: list[Game] = []

    def start(key: Key) -> State:
        drawn.append(follower.faced(environment.draw(key)))
        return initial_state(drawn[-1], follower, key, leader=leader)

    with in_precision(settings.precision):
        return jax.eval_shape(start, jax.random.key(0)), drawn[-1].places is not None


def size(settings: Settings) -> int:
    """Return the number of bytes of the states of all seeds at every entry."""
    state, _ = initial_shape(settings)
    return size_of(state, settings)


def size_of(state: State, settings: Settings) -> int:
    """Return the number of bytes if every seed has such a state at every entry."""
    one = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    return one * settings.seeds * (settings.steps + 1)


def write(folder: Path, states: State, seeds: np.ndarray, iterations: np.ndarray) -> None:
    """Write `states.npz`: the arrays [seed, entry, …], the seeds, and the iteration of each entry."""
    with (folder / FILE).open("wb") as file:
        np.savez(file, allow_pickle=False, seed=seeds, iteration=iterations, **named(states))


def _parts(state: State) -> dict[str, PyTree]:
    model = state.reward_model
    return {"theta": state.theta, "phi": model.phi, "memory": model.memory, "earlier": state.earlier}


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
