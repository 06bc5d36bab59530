"""The published oracle: the likelihood of prompt and answer together under the frozen base model."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fpo_jax.experiments.llm.generation import (
    Spread,
    as_it_is,
    log_likelihood,
    prompt_log_likelihood,
    read_prompt,
)
from fpo_jax.experiments.llm.model import Net
from fpo_jax.types import Scalar

CENTRE, LOWEST, HIGHEST = 5.0, -15.0, 5.0
"""U at a mean negative log-likelihood of 0 nats, and its bounds."""


def utility(
    before: Scalar, asked: Scalar, totals: Float[Array, " n"], numbers: Int[Array, " n"]
) -> Float[Array, " n"]:
    """Return U = clip(5 − mean negative log-likelihood of prompt and response, −15, 5), as published.

    Args:
        before: Σ log π of the prompt's tokens except the first, under the base model.
        asked: their number.
        totals: [n] Σ log π of each response's tokens.
        numbers: [n] their numbers.
    """
    mean = (before + totals) / (asked + numbers).astype(jnp.float32)
    return jnp.clip(CENTRE + mean.astype(jnp.float32), LOWEST, HIGHEST)


class Told(NamedTuple):
    """The base model's likelihoods of responses.

    Attributes:
        utility: [n] U.
        log_likelihood: [n] Σ log π_ref, in nats.
        length: [n] tokens, including the one that ends a response.
    """

    utility: Float[Array, " n"]
    log_likelihood: Float[Array, " n"]
    length: Int[Array, " n"]


def likelihood_utility(
    base: Net,
    prompt: Int[Array, " p"],
    length: Scalar,
    responses: tuple[Int[Array, "n t"], ...],
    ends: tuple[int, ...],
    spread: Spread = as_it_is,
) -> tuple[Told, ...]:
    """Return the base model's likelihoods of responses to a prompt.

    The mean is over all tokens except the first, including those of the chat template and the one that ends
    the response, under the plain base model: no temperature, no dropout, no adapter.

    Args:
        base: the frozen model.
        prompt: [p] padded tokens.
        length: how many of them are the prompt.
        responses: arrays [n, t] of responses to it.
        ends: tokens that end one.
        spread: places arrays with a leading axis of responses on devices.
    """
    read = read_prompt(base, prompt, length, responses[0].shape[1])
    before = prompt_log_likelihood(base, read, prompt)

    def of(tokens: Int[Array, "n t"]) -> Told:
        total, number = log_likelihood(base, read, tokens, ends, spread)
        return Told(utility(*before, total, number), total, number)

    return jax.tree.map(of, responses)
