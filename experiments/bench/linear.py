"""Benchmark: seconds per seed of the linear environment, compared with the eager NumPy oracle in the same
process.

Each row has two ratios for two questions. "Same work": the oracle takes the same kind of
gradient. "Published protocol": the oracle takes the published forward difference, 51 evaluations of the
objective a step, which is what a user of the published code would otherwise run.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import numpy as np

from fpo_jax.engine.initial import seed_keys
from fpo_jax.engine.runs import run_seeds
from fpo_jax.experiments.bench import numpy_oracle
from fpo_jax.experiments.core.settings import in_precision, resolve
from fpo_jax.experiments.core.timing import median_seconds
from fpo_jax.record import outcome


def bench_linear(widths: Sequence[int], repeats: int) -> None:
    """Print seconds per seed for every batch width, and the speedup over the oracle."""
    steps = resolve({"environment": "linear"}).steps
    print(f"linear environment, relaxed FPO, {steps} iterations, float32, {jax.default_backend()}")
    print(f"median of {repeats}, compilation excluded; oracle: eager NumPy, float64, one seed at a time")
    weights = np.r_[np.ones(3), np.zeros(47)] + 0.1 * np.random.default_rng(0).normal(size=50)
    schemes = {"exact gradient": "autodiff", "published forward difference": "forward-difference"}
    eager = {}
    for label, gradient in zip(schemes, ("analytic", "forward difference"), strict=True):
        reference = numpy_oracle.LinearOracle(objective="relaxed", gradient=gradient)
        eager[label] = median_seconds(partial(reference.run, weights, steps), repeats)
    published = eager["published forward difference"]
    header = (
        "gradient",
        "seeds",
        "s/seed",
        "oracle, same work",
        "ratio",
        "published protocol",
        "ratio",
    )
    print("{:30s}{:>6s}{:>11s}{:>19s}{:>8s}{:>20s}{:>8s}".format(*header))
    for label, differentiator in schemes.items():
        for width in widths:
            work = _program(differentiator, width)
            seconds = median_seconds(work, repeats) / width
            print(
                f"{label:30s}{width:6d}{seconds:11.2e}{eager[label]:19.2e}{eager[label] / seconds:8.0f}"
                f"{published:20.2e}{published / seconds:8.0f}"
            )


def _program(differentiator: str, width: int) -> Callable[[], object]:
    settings = resolve(
        {
            "environment": "linear",
            "objective": "relaxed",
            "differentiator": differentiator,
            "precision": "float32",
        }
    )
    environment, leader, follower = settings.build()
    keys = seed_keys(width)

    def work() -> object:
        with in_precision(settings.precision):
            return run_seeds(environment, leader, follower, keys, steps=settings.steps, record=outcome)

    return work
