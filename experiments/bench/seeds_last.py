"""Benchmark: policy steps of the neural environment with seeds in the last axis, a prototype outside the
package.

Weights are arrays [in, out, seed], and a product is a multiply-add over seeds for each input, in blocks of
seeds that stay in the cache of a core. The comparison is with products of matrices and vectors under `vmap`,
as in the package. A step is the clamped gradient of an MLP in its input, on one device.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fpo_jax.experiments.bench.neural_products import DIMENSION, FIRST, HIDDEN, SECOND

SEEDS, STEPS = 256, 15
BLOCKS = (32, 64, 128)
OPERATIONS = 2 * 2 * (FIRST + SECOND) * STEPS * SEEDS
"""Operations of all steps: a multiplication and an addition, forward and back."""
LASTS, READINGS = 0.1, 4
"""Seconds of calls that are timed together, and number of repeats; the best counts."""

Activation = Callable[[Array], tuple[Array, Array]]


def softplus(z: Array) -> tuple[Array, Array]:
    """Return softplus and its slope, which share an exponential."""
    small = jnp.exp(-jnp.abs(z))
    return jnp.maximum(z, 0.0) + jnp.log1p(small), jnp.where(z > 0, 1.0, small) / (1.0 + small)


def steps(weights: Any, y: Array, act: Activation, times: Callable[[Array, Array], Array]) -> Array:
    """Return y after all steps; `times` multiplies weights [in, out, ...] by a vector [in, ...]."""
    first, second, last = weights
    first_back, second_back = jnp.swapaxes(first, 0, 1), jnp.swapaxes(second, 0, 1)

    def step(_: Any, y: Array) -> Array:
        hidden, slope = act(times(first, y))
        _, deep_slope = act(times(second, hidden))
        back = slope * times(second_back, deep_slope * last)
        return y + 0.01 * jnp.clip(times(first_back, back), -1.0, 1.0)

    return jax.lax.fori_loop(0, STEPS, step, y)


def in_blocks(weights: Any, y: Array, act: Activation, size: int) -> Array:
    """Return the same with seeds in the last axis, this many at a time."""

    def times(matrix: Array, vector: Array) -> Array:
        add: Any = lambda j, total: total + matrix[j] * vector[j]  # noqa: E731
        return jax.lax.fori_loop(1, matrix.shape[0], add, matrix[0] * vector[0])

    blocks = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(*x.shape[:-1], -1, size), -2, 0), (weights, y))
    found = jax.lax.map(lambda block: steps(block[0], block[1], act, times), blocks)
    return jnp.moveaxis(found, 0, -2).reshape(y.shape)


def bench_seeds_last() -> None:
    """Print the rates, GFLOP/s in a CPU second, of either layout, with softplus and without."""
    shapes = (DIMENSION, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN,), (DIMENSION,)
    keys = jax.random.split(jax.random.key(0), len(shapes))
    *weights, y = (
        0.1 * jax.random.normal(key, (*shape, SEEDS)) for key, shape in zip(keys, shapes, strict=True)
    )
    first = jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), (tuple(weights), y))
    print(f"JAX {jax.__version__}; {STEPS} policy steps of {SEEDS} seeds; GFLOP/s in a CPU second")
    print(f"{'':18s}{'matrices by vectors':>21s}" + "".join(f"{f'blocks of {size}':>15s}" for size in BLOCKS))
    for name, act in (("with softplus", softplus), ("products alone", lambda z: (z, z))):
        plain = jax.vmap(lambda w, y, act=act: steps(w, y, act, lambda matrix, vector: vector @ matrix))
        rates = [_rate(plain, *first)]
        rates += [
            _rate(lambda w, y, act=act, size=size: in_blocks(w, y, act, size), tuple(weights), y)
            for size in BLOCKS
        ]
        print(f"{name:18s}{rates[0]:21.1f}" + "".join(f"{rate:15.1f}" for rate in rates[1:]), flush=True)


def _rate(function: Callable[..., Array], *arguments: Any) -> float:
    compiled = jax.jit(function)
    jax.block_until_ready(compiled(*arguments))
    began = time.perf_counter()
    jax.block_until_ready(compiled(*arguments))
    calls = math.ceil(LASTS / (time.perf_counter() - began))
    best = math.inf
    for _ in range(
        READINGS
    ):  # many calls for each reading, since the clock of a process lags by milliseconds
        began = time.process_time()
        for _ in range(calls):
            jax.block_until_ready(compiled(*arguments))
        best = min(best, (time.process_time() - began) / calls)
    return OPERATIONS / best / 1e9
