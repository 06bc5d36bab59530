"""Buffers of draws from past policies."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fpo_jax.types import Key, Responses


def reservoir(buffer: Responses, fresh: Responses, total: Array, key: Key) -> Responses:
    """Return the buffer after fresh draws have entered it; every draw so far is equally likely to be in it.

    Draw number c takes place c while there is room, and later a random one of c + 1 places. So each of the c
    + 1 draws so far is kept with the same probability (reservoir sampling).

    Args:
        buffer: [places, ...].
        fresh: [draws, ...].
        total: draws before these.
        key: of the places.
    """
    places, draws = buffer.w.shape[0], fresh.w.shape[0]

    def enter(buffer: Responses, draw: tuple[Responses, Array, Key]) -> tuple[Responses, None]:
        new, number, draw_key = draw
        chosen = jax.random.randint(draw_key, (), 0, number + 1)
        here = jnp.arange(places) == jnp.where(number < places, number, chosen)

        def place(old: Array, new: Array) -> Array:
            return jnp.where(here.reshape(-1, *[1] * new.ndim), new, old)

        return jax.tree.map(place, buffer, new), None

    numbers = total + jnp.arange(draws)
    return jax.lax.scan(enter, buffer, (fresh, numbers, jax.random.split(key, draws)))[0]
