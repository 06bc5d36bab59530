"""Texts as responses, with their encoder features, quality and padding: for `fpo_jax.envs.language`."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from fpo_jax.envs.parts import words
from fpo_jax.envs.parts.transformer import Transformer, every_word, level, tree


class Answer(NamedTuple):
    """One response: a text and its properties. All answers of a game have a leading axis.

    Attributes:
        prompt: number of the prompt.
        tokens: [length] numbers of words, see `fpo_jax.envs.parts.words`.
        features: [d] its features from the frozen encoder.
        quality: true utility, in [0, 1].
        padding: how far it lies in the blind spot, in [0, 1].
    """

    prompt: Int[Array, "..."]
    tokens: Int[Array, "... length"]
    features: Float[Array, "... d"]
    quality: Float[Array, "..."]
    padding: Float[Array, "..."]


def total(log_next: Float[Array, "nodes words"], words: int, length: int) -> Float[Array, " texts"]:
    """Return log p of every text, Σ_t log p(y_t | y_<t), from log p of the next word at every beginning."""
    log_text = jnp.zeros(1)
    for t in range(length):
        log_text = (log_text[:, None] + level(log_next, words, t)).reshape(-1)
    return log_text


def encoder_of(symbols: int, length: int, width: int, layers: int, heads: int) -> Transformer:
    """Return the frozen encoder, which reads prompt and answer and scores nothing."""
    return Transformer(symbols, length + 1, 0, width, layers, heads)


def described(encoder: Transformer, weights: PyTree, vocabulary: int, prompt: Array, tokens: Array) -> Answer:
    """Return texts as answers; ψ is the mean over words of the encoder's hidden state."""
    length = tokens.shape[-1]

    def one(x: Array, y: Array) -> Answer:
        _, hidden = encoder.read(weights, jnp.append(vocabulary + x, y), tree(1, length + 1))
        return Answer(x, y, jnp.mean(hidden[1:], axis=0), words.utility(x, y), words.blind_spot(y))

    return jax.vmap(one)(prompt, tokens)


def every_answer(encoder: Transformer, weights: PyTree, prompts: int, vocabulary: int, length: int) -> Answer:
    """Return every text to every prompt as `described`, in lexicographic order, prompt by prompt."""
    tokens = jnp.arange(vocabulary**length)[:, None] // _powers(vocabulary, length)[None] % vocabulary

    def given(x: Array) -> Answer:
        nodes = every_word(vocabulary + x, vocabulary, length + 1)
        _, hidden = encoder.read(weights, nodes, tree(vocabulary, length + 1))
        features = level(hidden, vocabulary, 1)
        for t in range(2, length + 1):
            features = jnp.repeat(features, vocabulary, axis=0) + level(hidden, vocabulary, t)
        quality = jax.vmap(lambda y: words.utility(x, y))(tokens)
        padding = jax.vmap(words.blind_spot)(tokens)
        return Answer(jnp.full(len(tokens), x), tokens, features / length, quality, padding)

    answers = jax.vmap(given)(jnp.arange(prompts))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), answers)


def place(prompt: Int[Array, " n"], tokens: Int[Array, "n length"], vocabulary: int) -> Int[Array, " n"]:
    """Return where texts stand among `every_answer`."""
    length = tokens.shape[-1]
    return prompt * vocabulary**length + tokens @ _powers(vocabulary, length)


def _powers(vocabulary: int, length: int) -> Int[Array, " length"]:
    return vocabulary ** jnp.arange(length - 1, -1, -1)
