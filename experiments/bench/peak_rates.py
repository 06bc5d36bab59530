"""How fast this machine computes at its best: products of matrices, exp and log, on every device at once."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fpo_jax.engine.lanes import in_lanes
from fpo_jax.experiments.bench.arithmetic import Work
from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.core.timing import Times, timed

SIDE, PRODUCTS = 512, 8
"""Size of the square matrices, and how many products follow each other."""
LENGTH, EVALUATIONS = 4096, 1000
"""How many numbers a device holds, few enough for its cache, and how often each is evaluated."""
REPEATS = 30


class Peak(NamedTuple):
    """Operations in a second on the wall, all devices together, and in a CPU second.

    On a CPU the former is the latter times the devices, since other work may hold some cores meanwhile.

    Attributes:
        flops: of a product of square matrices.
        transcendentals: of exp or log, whichever is faster.
    """

    flops: Times
    transcendentals: Times

    def limit(self, work: Work) -> Times:
        """Return the seconds that the work takes at these rates."""
        both = zip(self.flops, self.transcendentals, strict=True)
        return Times(*((work.flops + work.lapack) / f + work.transcendentals / t for f, t in both))


def peak_rates(precision: str) -> Peak:
    """Measure the rates in a precision; the best of many repeats counts."""
    devices = jax.local_devices()

    def rate(body: Callable[[Any], Any], start: Any, times: int, operations: float) -> Times:
        def repeated(_: None, x: Any) -> Any:
            return jax.lax.fori_loop(0, times, lambda i, x: body(x), x)

        lanes = jnp.broadcast_to(start, (len(devices), *start.shape))
        program = jax.jit(in_lanes(repeated, devices)).lower(None, lanes).compile()
        taken = [timed(lambda: program(None, lanes))[1] for _ in range(REPEATS)][1:]
        wall, cpu = (len(devices) * times * operations / min(t) for t in zip(*taken, strict=True))
        return Times(len(devices) * cpu if jax.default_backend() == "cpu" else wall, cpu)

    with in_precision(precision):
        square = jnp.full((SIDE, SIDE), 1.0 / SIDE)
        row = jnp.linspace(0.5, 1.5, LENGTH)
        functions = (lambda x: jnp.exp(-x), lambda x: jnp.log(x + 2.0))
        evaluated = [rate(f, row, EVALUATIONS, LENGTH) for f in functions]
        return Peak(
            rate(lambda x: x @ square, square, PRODUCTS, 2.0 * SIDE**3),
            Times(*map(max, zip(*evaluated, strict=True))),
        )
