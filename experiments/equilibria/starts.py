"""Starts of a search for equilibria: the first policy, the best one, the end of a run, or drawn ones."""

import re
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from fpo_jax.engine.runs import run_seeds
from fpo_jax.errors import InputError
from fpo_jax.experiments.core.settings import Settings
from fpo_jax.numerics.keys import named_key
from fpo_jax.record import outcome
from fpo_jax.types import Key, Theta

ALLOWED = "first, best, run or drawn:N, each once"
MOST_DRAWN = 1000
SPREAD = 3.0
"""Standard deviation of drawn logits, and of the change of other parameters."""


def start_names(words: Sequence[str], kind: str) -> tuple[str, ...]:
    """Return the name of every start. The default is the first policy, or for actions the end of a run.

    Args:
        words: each `first`, `best`, `run` or `drawn:N`, none of them twice.
        kind: the kind of θ (`fpo_jax.tangents.kind`).

    Raises:
        InputError: when a word is unknown, two words name the same start, or N is not in [1, `MOST_DRAWN`].
    """
    names: list[str] = []
    for word in words or (("run",) if kind == "action" else ("first",)):
        drawn = re.fullmatch(r"drawn:(\d{1,4})", word)
        if drawn and 1 <= int(drawn[1]) <= MOST_DRAWN:
            names += [f"drawn {number + 1}" for number in range(int(drawn[1]))]
        elif word in ("first", "best", "run"):
            names.append(word)
        else:
            raise InputError("starts", word, f"{ALLOWED}, N in [1, {MOST_DRAWN}]")
    if len({*names}) < len(names):
        raise InputError("starts", " ".join(words), ALLOWED)
    return tuple(names)


def drawn(theta: Theta, kind: str, name: str, key: Key) -> Theta:
    """Return logits drawn from N(0, SPREAD²), or for other parameters θ plus such a draw.

    The name of the start and the key decide the draw.
    """
    flat, unravel = ravel_pytree(theta)
    noise = SPREAD * jax.random.normal(named_key(key, f"start {name}"), flat.shape, flat.dtype)
    return unravel(noise if kind == "logits" else flat + noise)


def ends_of_runs(settings: Settings, keys: Key) -> Callable[[int], Theta]:
    """Run all seeds, and return a function from the number of a seed to the last policy of its run."""
    environment, leader, follower = settings.build()
    final, _ = run_seeds(
        environment, leader, follower, keys, steps=settings.steps, every=settings.steps, record=outcome
    )
    return lambda seed: jax.tree.map(lambda leaf: jnp.asarray(leaf[seed]), final.theta)
