"""Benchmark: draws of labels by the weights of responses, and the logits of a language model's tokens."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fpo_jax.experiments.core.timing import median_times
from fpo_jax.responses import categorical

SEEDS, DRAWS, ROUNDS = 256, 16, 20
RESPONSES = (24, 160, 1600)
"""Their numbers."""
STATES, WIDTH, WORDS, TOKENS = 32, 576, 49_152, 8
"""Hidden states at once, and the sizes of SmolLM2-135M."""
Way = Callable[[Array, Array], Array]
DRAWN: dict[str, Way] = {
    "ours": lambda key, logits: categorical(key, logits, DRAWS),
    "jax.random.categorical": lambda key, logits: jax.random.categorical(key, logits, shape=(DRAWS,)),
    "jax.random.choice": lambda key, logits: jax.random.choice(
        key, logits.size, (DRAWS,), p=jax.nn.softmax(logits)
    ),
}
MULTIPLIED: dict[str, Way] = {
    "words × states": lambda states, words: jax.lax.optimization_barrier(words @ states.T).T,
    "states × words": lambda states, words: states @ words,
}
"""The first takes words [v, d], the second [d, v]."""


@partial(jax.jit, static_argnames="draw")
def _draws(draw: Way, logits: Array, keys: Array) -> Array:
    """Return draws [round, seed, draw], round by round as in a run."""
    return jax.lax.scan(lambda none, key: (none, jax.vmap(draw)(key, logits)), None, keys)[1]


@partial(jax.jit, static_argnames="multiply")
def _likeliest(multiply: Way, states: Array, words: Array) -> Array:
    """Return the highest logits [token, state], token after token: the next states depend on them."""

    def token(states: Array, _: None) -> tuple[Array, Array]:
        highest = jnp.max(multiply(states, words), axis=1)
        return states + 1e-6 * highest[:, None], highest

    return jax.lax.scan(token, states, None, length=TOKENS)[1]


def bench_draws(repeats: int) -> None:
    """Print the times of draws, whether those of `categorical` are JAX's, and the times of logits."""
    machine = f"{jax.device_count()} × {jax.devices()[0].device_kind}, JAX {jax.__version__}"
    print(f"{machine}; {DRAWS} draws for each of {SEEDS} seeds: CPU µs, medians of {repeats}")
    print(f"{'responses':>9s}" + "".join(f"{name:>24s}" for name in DRAWN) + f"{'the same draws':>16s}")
    keys = jax.random.split(jax.random.key(0), (ROUNDS, SEEDS))
    for size in RESPONSES:
        logits = jax.random.normal(jax.random.key(1), (SEEDS, size))
        works = {name: partial(_draws, draw, logits, keys) for name, draw in DRAWN.items()}
        times = median_times(works, repeats)
        ours, theirs, _ = (work() for work in works.values())
        cells = "".join(f"{times[name].cpu / ROUNDS * 1e6:24.0f}" for name in DRAWN)
        print(f"{size:9d}{cells}{'yes' if jnp.array_equal(ours, theirs) else 'no':>16s}", flush=True)
    states = jax.random.normal(jax.random.key(2), (STATES, WIDTH))
    words = jax.random.normal(jax.random.key(3), (WORDS, WIDTH)) / WIDTH
    laid_out = words, words.T
    products = {
        name: partial(_likeliest, way, states, matrix)
        for (name, way), matrix in zip(MULTIPLIED.items(), laid_out, strict=True)
    }
    print(f"logits of {STATES} states, {WIDTH} × {WORDS}, token after token: ms, medians of {repeats}")
    for name, took in median_times(products, repeats).items():
        print(f"{name:>16s}{took.wall / TOKENS * 1e3:8.1f}", flush=True)
