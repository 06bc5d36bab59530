"""Annealing: how a strength changes over a run."""

from fpo_jax.types import Scalar


def annealed(
    initial: float | Scalar, final: float | Scalar, power: float | Scalar, progress: float | Scalar
) -> Scalar:
    """Return final + (initial − final)·(1 − pᵖᵒʷᵉʳ) at progress p in [0, 1] (paper, neural environment).

    It lies between the two ends for every power > 0, so a schedule between non-negative ends is so too.
    """
    return final + (initial - final) * (1.0 - progress**power)
