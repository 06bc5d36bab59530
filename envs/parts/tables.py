"""Checks of the tables of a tabular process, which name the state and action at fault."""

from typing import Any

import numpy as np
from jaxtyping import ArrayLike

from fpo_jax.envs.parts.transitions import Branches, Table
from fpo_jax.errors import InputError


def check_tables(game: Any) -> None:
    """Raise an InputError that names what cannot be part of a `TabularGame`."""
    length = game.episode_length
    if isinstance(length, bool) or not isinstance(length, int | np.integer) or length < 0:
        raise InputError("episode_length", length, "an integer >= 0")
    check_discount(game.discount, int(length))
    temperature = np.asarray(game.temperature)
    if temperature.dtype.kind not in "iuf" or not np.all(np.isfinite(temperature) & (temperature >= 0)):
        raise InputError("temperature", game.temperature, "a finite number >= 0")
    states, actions = game.pairs.utility.shape
    _require_shape("start", game.start, (states,))
    _require_shape("covered", game.covered, (states, actions))
    _require_shape("features", game.pairs.features, (states, actions, game.pairs.features.shape[-1]))
    _require_shape("planted", game.pairs.planted, (states, actions))
    _check_transitions(game.transitions, states, actions)
    _require_distributions("start", game.start, sums_over=1)
    _require_distributions("covered", game.covered, sums_over=2)
    for name, values in game.pairs._asdict().items():
        for where in np.argwhere(~np.isfinite(values))[:1]:
            raise InputError(_place(name, where[:2]), values[tuple(where[:2])], "finite")
    planted = np.asarray(game.pairs.planted)
    for where in np.argwhere((planted < 0) | (planted > 1))[:1]:
        raise InputError(_place("planted", where), planted[tuple(where)], "in [0, 1]")


def check_discount(discount: Any, episode_length: int) -> None:
    """Raise an InputError unless γ is in [0, 1), or in [0, 1] where episodes end."""
    values = np.asarray(discount)
    allowed = "in [0, 1]" if episode_length else "in [0, 1); 1 only with an episode_length > 0"
    if values.dtype.kind not in "iuf" or not np.all((values >= 0) & (values <= 1)):
        raise InputError("discount", discount, allowed)
    if episode_length == 0 and np.any(values == 1):
        raise InputError("discount", discount, allowed)


def _check_transitions(transitions: Any, states: int, actions: int) -> None:
    probabilities = transitions.probabilities
    branches = states if isinstance(transitions, Table) else probabilities.shape[-1]
    _require_shape("transitions", probabilities, (states, actions, branches))
    _require_distributions("transitions", probabilities, sums_over=1)
    if isinstance(transitions, Branches):
        successors = np.asarray(transitions.successors)
        _require_shape("successors", successors, probabilities.shape)
        for where in np.argwhere((successors < 0) | (successors >= states))[:1]:
            far = successors[tuple(where)]
            raise InputError(_place("transitions", where[:2]), far, f"a state in [0, {states})")


def _require_shape(name: str, array: ArrayLike, shape: tuple[int, ...]) -> None:
    if np.shape(array) != shape:
        raise InputError(name, f"array of shape {np.shape(array)}", f"of shape {shape}")


def _require_distributions(name: str, given: ArrayLike, sums_over: int) -> None:
    """Check that an array holds probabilities, which sum to 1 over its last axes."""
    table = np.asarray(given)
    for where in np.argwhere(~(table >= 0))[:1]:
        raise InputError(_place(name, where), table[tuple(where)], "a probability, >= 0")
    sums = np.asarray(table.sum(axis=tuple(range(-sums_over, 0))))
    for where in np.argwhere(~(np.abs(sums - 1.0) <= 1e-5))[:1]:
        raise InputError(
            _place(name, where), f"probabilities summing to {sums[tuple(where)]:g}", "summing to 1"
        )


def _place(name: str, where: np.ndarray) -> str:
    words = ("state", "action", "successor")
    return ", ".join([name, *(f"{word} {i}" for word, i in zip(words, where, strict=False))])
