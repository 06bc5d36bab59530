"""How often the reward model agrees with the oracle on which of two answers is better."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from fpo_jax.types import Scalar


def differing(tokens: Int[Array, "*p n t"]) -> Bool[Array, "*p n n"]:
    """Say which pairs of answers differ; equal answers differ in reward and U only by rounding."""
    return jnp.any(tokens[..., :, None, :] != tokens[..., None, :, :], axis=-1)


def accuracy(
    rewards: Float[Array, "*p n"], utilities: Float[Array, "*p n"], tokens: Int[Array, "*p n t"]
) -> tuple[Scalar, Scalar]:
    """Return the share of pairs on which r and U agree, and the number of pairs (ours).

    Pairs are two answers to one prompt that differ in words and in U. A pair with the same r counts half. The
    share is ½ if there is no pair.

    Args:
        rewards: r of answers, with leading axes of prompts, if any.
        utilities: U of the same.
        tokens: [..., n, t] the answers, 0 behind the end.
    """
    gap = rewards[..., :, None] - rewards[..., None, :]
    wanted = jnp.sign(utilities[..., :, None] - utilities[..., None, :])
    counted = (differing(tokens) & (wanted != 0)).astype(rewards.dtype)
    number = jnp.sum(counted)  # each pair twice, in either order
    agreement = jnp.sum(counted * jnp.sign(gap) * wanted) / jnp.maximum(number, 1.0)
    return (1.0 + agreement) / 2.0, number / 2.0
