"""Where a search for equilibria begins: the first policy, the best one, the end of a run, drawn ones."""

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
    """Return the name of every start; by default the first policy, of actions the end of a run.

    Raises:
        InputError: says which words there are.
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
    """Return drawn logits, or other parameters drawn around θ: each ~ N(0, SPREAD²) or so far from θ."""
    flat, unravel = ravel_pytree(theta)
    noise = SPREAD * jax.random.normal(named_key(key, f"start {name}"), flat.shape, flat.dtype)
    return unravel(noise if kind == "logits" else flat + noise)


def ends_of_runs(settings: Settings, keys: Key) -> Callable[[int], Theta]:
    """Return the last policy of the run of each seed, by its number."""
    environment, leader, follower = settings.build()
    final, _ = run_seeds(
        environment, leader, follower, keys, steps=settings.steps, every=settings.steps, record=outcome
    )
    return lambda seed: jax.tree.map(lambda leaf: jnp.asarray(leaf[seed]), final.theta)
