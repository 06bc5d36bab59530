"""Weighted samples of responses, and operations on them: pairs, draws, the winner among several."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

Weights = Float[Array, " n"]
MANY = 1000
"""Up to this number of responses draws are those of `categorical`, on which stored results rest."""


class Responses(NamedTuple):
    """A weighted sample of responses: y ~ Σ_i w_i δ(y_i).

    Attributes:
        y: pytree of arrays with one leading axis of length n.
        w: [n] weights, non-negative, summing to 1; differentiable in θ, as y is.
    """

    y: PyTree
    w: Float[Array, " n"]


def paired(first: Responses, second: Responses, prompts: int = 1) -> Responses:
    """Return the product of two samples within each prompt: (y_i, y'_j) with weight w_i w'_j / P'(x).

    P'(x) = Σ_j w'_j sums over the second sample's responses to prompt x, so w'_j / P'(x) is the second policy
    given x. Expectations over both sides stay exact, and differentiable in the weights and responses of both.

    Args:
        first, second: n and m weighted responses, each in `prompts` equal consecutive blocks.
        prompts: number X of prompts.

    Returns:
        n · m / X pairs as responses y = (first, second). A prompt without weight gives pairs without weight.
        A prompt with responses in the first sample and none in the second gives NaN.
    """
    rows, columns = (sample.w.reshape(prompts, -1) for sample in (first, second))
    alone = jnp.any(rows > 0, axis=1, keepdims=True) & ~jnp.any(columns > 0, axis=1, keepdims=True)
    given_prompt = _given_prompt(columns) * jnp.where(alone, jnp.nan, 1.0).astype(columns.dtype)
    shape = (prompts, rows.shape[1], columns.shape[1])

    def spread(leaf: Array, axis: int) -> Array:
        block = jnp.expand_dims(leaf.reshape(prompts, -1, *leaf.shape[1:]), axis)
        return jnp.broadcast_to(block, (*shape, *leaf.shape[1:])).reshape(-1, *leaf.shape[1:])

    y = (jax.tree.map(lambda x: spread(x, 2), first.y), jax.tree.map(lambda x: spread(x, 1), second.y))
    return Responses(y, (rows[:, :, None] * given_prompt[:, None, :]).reshape(-1))


def _given_prompt(weights: Array) -> Array:
    """Return weights [prompt, n] conditional on the prompt, summing to 1; 0 at a prompt without weight."""
    total = jnp.sum(weights, axis=1, keepdims=True)
    return weights / jnp.where(total > 0, total, 1.0)


def log_weights(weights: Weights) -> Weights:
    """Return log w; where a weight has underflowed, −∞ with derivative 0: such a response is never drawn."""
    there = ~(weights < jnp.finfo(weights.dtype).tiny)  # NaN is passed on
    return jnp.where(there, jnp.log(jnp.where(there, weights, 1.0)), -jnp.inf)


def drawn(responses: Responses, number: int, key: Array) -> Responses:
    """Return independent draws by the weights, 1/number each, with the score ∇ log w as their gradient."""
    logits = log_weights(responses.w)
    fixed = jax.lax.stop_gradient(logits)
    if logits.size > MANY:  # a draw takes one random number here, below one for each response
        chosen = jax.random.choice(key, logits.size, (number,), p=jnp.exp(fixed))
    else:
        chosen = categorical(key, fixed, number)
    log_probability = logits[chosen]
    return Responses(jax.tree.map(lambda leaf: leaf[chosen], responses.y), scored(log_probability) / number)


def categorical(key: Array, logits: Weights, number: int) -> Int[Array, " number"]:
    """Return the draws of `jax.random.categorical(key, logits, shape=(number,))`, on a CPU in less time.

    They are arg maxᵢ (logitsᵢ + gᵢ) with g of Gumbel's distribution. On a CPU XLA takes the elements of an
    arg max one by one, but those of a maximum in groups. So this takes the maximum, then its first index.

    Args:
        key: of these draws.
        logits: [n] log-probabilities up to a constant. −∞ is not drawn unless all are. If there is a NaN,
            the first one is drawn.
        number: of the draws. One draw is also that of `jax.random.categorical(key, logits)`.

    Returns:
        [number] the indices.
    """
    noise = jax.random.gumbel(key, (number, logits.size), logits.dtype)
    # computed once: a maximum of numbers that are rounded otherwise would have no index
    noisy = jax.lax.optimization_barrier(logits[None] + noise)
    highest = jnp.isnan(noisy) | (noisy == jnp.max(noisy, axis=1, keepdims=True))
    return jnp.min(jnp.where(highest, jnp.arange(logits.size)[None], logits.size), axis=1)


def scored(log_probability: Array) -> Array:
    """Return 1 with the score ∇ log p as gradient: the factor of anything drawn with probability p."""
    return jnp.exp(log_probability - jax.lax.stop_gradient(log_probability))


def best_of(weights: Weights, scores: Weights, candidates: int, prompts: int = 1) -> Weights:
    """Return the distribution of the best of n independent candidates, by order statistics (ours).

    With F(s) = P(score ≤ s) and F₋(s) = P(score < s) under the policy given the prompt, the highest of n is
    s_i with probability F(s_i)ⁿ − F₋(s_i)ⁿ, shared among equal scores in proportion to their weights:

        q_i = w_i Σ_{k<n} F(s_i)ᵏ F₋(s_i)ⁿ⁻¹⁻ᵏ.

    This is a polynomial in the weights and is differentiated as such; the order of the scores is held fixed.

    Args:
        weights: [m] of the policy, in `prompts` equal consecutive blocks.
        scores: [m], which rank the candidates.
        candidates: their number n, >= 1; 1 gives the policy itself.
        prompts: number of prompts.

    The result is NaN at a prompt where a response that can be drawn has score NaN, since it has no rank.
    """
    w, s = _ranked(weights, scores, prompts)
    given_prompt = _given_prompt(w)

    def winners(w: Array, s: Array, given_prompt: Array) -> Array:
        order = jnp.argsort(s)
        mass = jnp.append(0.0, jnp.cumsum(given_prompt[order]))  # of this many of the lowest
        up_to, below = (mass[jnp.searchsorted(s[order], s, side=side)] for side in ("right", "left"))
        return w * power_sum(up_to, below, candidates)

    return jax.vmap(winners)(w, jax.lax.stop_gradient(s), given_prompt).reshape(-1)


def _ranked(weights: Weights, scores: Weights, prompts: int) -> tuple[Array, Array]:
    """Return weights and scores by prompt; NaN for a score that counts becomes NaN for its weights."""
    chex.assert_equal_shape([weights, scores])
    w, s = weights.reshape(prompts, -1), scores.reshape(prompts, -1)
    unknown = jnp.isnan(s)
    unranked = jnp.any(unknown & (w > 0), axis=1, keepdims=True)
    highest = jnp.max(jnp.where(unknown, -jnp.inf, s), axis=1, keepdims=True)
    # a score that does not count is replaced by the highest, or by 0 if none counts
    stands = jnp.where(jnp.all(unknown, axis=1, keepdims=True), 0.0, highest)
    return w * jnp.where(unranked, jnp.nan, 1.0).astype(w.dtype), jnp.where(unknown, stands, s)


def power_sum(a: Array, b: Array, n: int) -> Array:
    """Return Σ_{k<n} aᵏ bⁿ⁻¹⁻ᵏ = (aⁿ − bⁿ) / (a − b), without the division: S_k+1 = a S_k + bᵏ."""

    def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        total, power = carry
        return (a * total + power, b * power), None

    return jax.lax.scan(step, (jnp.zeros_like(a), jnp.ones_like(a)), None, length=n)[0][0]


def accepted(
    weights: Weights, scores: Weights, candidates: int, sharpness: float | Array, prompts: int = 1
) -> Weights:
    """Return the distribution of rejection sampling with n candidates, one after the other (ours).

    Each of the first n − 1 is accepted with probability a = exp(sharpness · (s − max s)), the last always:
    q = w a Σ_{k<n−1} (1 − A)ᵏ + w (1 − A)ⁿ⁻¹ with A = E[a] given the prompt. For n → ∞ it is w a / A.

    Args:
        weights, scores, candidates, prompts: as in `best_of`, with the same rule for NaN.
        sharpness: at least 0; 0 gives the policy itself.
    """
    w, s = _ranked(weights, scores, prompts)
    taken = jnp.exp(sharpness * (s - jnp.max(s, axis=1, keepdims=True)))
    left = 1.0 - jnp.sum(_given_prompt(w) * taken, axis=1, keepdims=True)
    tries = power_sum(jnp.ones_like(left), left, candidates - 1)
    return (w * (taken * tries + left ** (candidates - 1))).reshape(-1)
