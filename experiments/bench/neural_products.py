"""Only the products and activations of an iteration of the neural environment."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fpo_jax.numerics.mlp import softplus

DIMENSION, HIDDEN, BUFFER = 10, 32, 50
FIRST, SECOND, LAST = DIMENSION * HIDDEN, HIDDEN * HIDDEN, HIDDEN
UPDATE = BUFFER * (2 * FIRST + 3 * SECOND + 2 * LAST)
"""Multiply-adds of one reward-model update: forward, weight gradients, and back through the second layer."""
STEP = 2 * FIRST + 4 * SECOND + LAST
"""Of one policy step: forward, back for ‖∇_φ r‖², and the gradient of both by the response."""

Body = Callable[..., tuple[Any, ...]]
"""A function of an iteration's number and a carried value, which it returns."""


def update_products(i: Any, y: Any, first: Any, second: Any, last: Any) -> tuple[Any, ...]:
    """Multiply as one reward-model update does."""
    hidden = y @ first
    deep = hidden @ second
    residual = deep @ last
    back = deep @ second.T
    slopes = y.T @ back, hidden.T @ deep, deep.T @ residual
    return y, *(w + 1e-30 * s for w, s in zip((first, second, last), slopes, strict=True))


def step_products(i: Any, y: Any, first: Any, second: Any, last: Any) -> tuple[Any, ...]:
    """Multiply as one policy step does."""
    hidden = y @ first
    deep = hidden @ second
    there = (deep @ second.T) @ second
    back = (there + deep @ last * deep) @ second.T
    return y + 1e-30 * back @ first.T, first, second, last


def square(i: Any, a: Any, b: Any) -> tuple[Any, ...]:
    """Multiply by a square matrix, the largest product there is."""
    return 1e-3 * a @ b, b


def activations(i: Any, z: Any) -> tuple[Any, ...]:
    """Compute softplus and its slope."""
    value, slope = jax.jvp(softplus, (z,), (jnp.ones_like(z),))
    return (value - slope,)


def products(width: int, evaluations: int) -> dict[str, tuple[Body, tuple[Any, ...]]]:
    """Return each with its carried value, for this many seeds and softplus evaluations."""

    def filled(*shape: int) -> Any:
        return jnp.full((width, *shape), 0.1)

    weights = filled(DIMENSION, HIDDEN), filled(HIDDEN, HIDDEN), filled(HIDDEN)
    return {
        "update products": (update_products, (filled(BUFFER, DIMENSION), *weights)),
        "step products": (step_products, (filled(DIMENSION), *weights)),
        "activations": (activations, (filled(evaluations),)),
        "square": (square, (filled(BUFFER, HIDDEN), weights[1])),
    }
