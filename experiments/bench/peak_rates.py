"""The peak speed of this machine: matrix products, exp and log, on all devices at once."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fpo_jax.engine.lanes import in_lanes
from fpo_jax.experiments.bench.arithmetic import Work
from fpo_jax.experiments.core.settings import in_precision
from fpo_jax.experiments.core.timing import Times, timed

SIDE, PRODUCTS = 512, 8
"""Size of the square matrices, and number of products in a row."""
LENGTH, EVALUATIONS = 4096, 1000
"""Numbers on each device, few enough for its cache, and evaluations of each."""
REPEATS = 30


class PeakRates(NamedTuple):
    """Operations in a wall second, all devices together, and in a CPU second.

    On a CPU the former is the latter times the number of devices, since other work may occupy some cores.

    Attributes:
        flops: of a product of square matrices.
        transcendentals: of exp or log, whichever is faster.
    """

    flops: Times
    transcendentals: Times

    def limit(self, work: Work) -> Times:
        """Return the seconds for the work at these rates."""
        both = zip(self.flops, self.transcendentals, strict=True)
        return Times(*((work.flops + work.lapack) / f + work.transcendentals / t for f, t in both))


def peak_rates(precision: str) -> PeakRates:
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
        return PeakRates(
            rate(lambda x: x @ square, square, PRODUCTS, 2.0 * SIDE**3),
            Times(*map(max, zip(*evaluated, strict=True))),
        )
