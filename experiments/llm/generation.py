"""Draw responses from a model: the prompt is read once, and all responses use its keys and values.

A padded prompt fills the first places of the cache, and responses follow the padding. Positions continue from
the end of the prompt, and the padding is masked. So programs depend on the bucket of a prompt, not on its
length.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int
from optax import softmax_cross_entropy_with_integer_labels

from fpo_jax.experiments.llm.model import Cache, Net, Unrolled, empty_cache, take
from fpo_jax.experiments.llm.settings import Generation
from fpo_jax.responses import categorical
from fpo_jax.types import Key, Scalar

Spread = Callable[[Any], Any]


def as_it_is(tree: Any) -> Any:
    """Return arrays unchanged, on one device."""
    return tree


class Sampling(NamedTuple):
    """How to draw tokens; hashable, since programs depend on it.

    Attributes:
        tokens: most tokens of a response.
        ends: tokens that end one.
        temperature: of the softmax; 0 takes the likeliest token.
        top_p: draws come from the likeliest tokens with this total probability.
        least: minimum number of tokens before a response may end.
    """

    tokens: int
    ends: tuple[int, ...]
    temperature: float = 1.0
    top_p: float = 1.0
    least: int = 0

    @classmethod
    def of(cls, settings: Generation, ends: tuple[int, ...]) -> "Sampling":
        """Return the sampling of these settings."""
        return cls(settings.tokens, ends, settings.temperature, settings.top_p, settings.least_tokens)


class Samples(NamedTuple):
    """Responses to one prompt.

    Attributes:
        tokens: [n, t], 0 behind the end.
        log_probability: [n] Σ log π over their tokens at temperature 1, without top_p and without a minimum
            length.
    """

    tokens: Int[Array, "n t"]
    log_probability: Float[Array, " n"]


@struct.dataclass
class Read:
    """A prompt that a model has read.

    Attributes:
        states: [1, p, d] hidden states of its tokens, padding included.
        cache: its keys and values, with room after them.
        length: number of its tokens.
        size: number of its places, padding included.
    """

    states: Float[Array, "1 p d"]
    cache: Cache
    length: Scalar
    size: int = struct.field(pytree_node=False)

    @property
    def hidden(self) -> Float[Array, "1 d"]:
        """The hidden state at its last token."""
        return self.states[:, self.length - 1]

    def copies(self, rows: int) -> Cache:
        """Return one copy of the cache for each response."""
        return jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (leaf.shape[0], rows, *leaf.shape[2:])), self.cache
        )


def read_prompt(net: Net, prompt: Int[Array, " p"], length: Scalar, room: int) -> Read:
    """Let a model read one padded prompt, with room for this many more tokens."""
    size = prompt.shape[0]
    places = jnp.arange(size + room)
    mask = (places[None, :] <= jnp.arange(size)[:, None]) & (places < length)[None, :]
    cache = empty_cache(net.config, 1, size + room, net.dtype)
    hidden, filled = net(prompt[None], jnp.arange(size)[None], mask[None], cache)
    assert filled is not None
    return Read(hidden, filled, length, size)


def extend(
    net: Net | Unrolled, read: Read, cache: Any, tokens: Int[Array, "n t"], first: Scalar | int, places: int
) -> tuple[Float[Array, "n t d"], Any]:
    """Return hidden states of tokens after a prompt; the first is number `first` of its response."""
    rows, number = tokens.shape
    order = first + jnp.arange(number)
    index = jnp.arange(places)
    behind = index - read.size  # its place in the response
    mask = (index < read.length)[None, :] | ((behind >= 0)[None, :] & (behind[None, :] <= order[:, None]))
    positions = jnp.broadcast_to(read.length + order, (rows, number))
    return net(tokens, positions, mask[None], cache, read.size + first)


def sample(net: Net, read: Read, key: Key, rows: int, how: Sampling, spread: Spread = as_it_is) -> Samples:
    """Draw responses to a prompt that the model has read.

    Args:
        net: the model.
        read: the prompt, with room for `how.tokens`.
        key: for the draws; a row's draws do not depend on the number of rows.
        rows: number of responses.
        how: how to draw tokens.
        spread: places arrays with a leading axis of responses on devices.
    """
    places, apart = read.size + how.tokens, net.unrolled()
    keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.arange(rows))

    def choose(logits: Float[Array, "n v"], step: Scalar | int, done: Bool[Array, " n"]) -> Any:
        at = jax.vmap(lambda one: jax.random.fold_in(one, step))(keys)
        allowed = jnp.where(step < how.least, _without(logits, how.ends), logits) if how.least else logits
        token = jax.vmap(lambda one, row: _choose(one, row, how))(at, allowed)
        log_probability = -softmax_cross_entropy_with_integer_labels(logits, token)
        token = jnp.where(done, 0, token)
        ended = done | jnp.isin(token, jnp.array(how.ends, jnp.int32)) if how.ends else done
        return token, jnp.where(done, 0.0, log_probability), ended

    def step(carry: Any, number: Scalar) -> Any:
        cache, token, total, done = carry
        hidden, cache = extend(apart, read, cache, token[:, None], number - 1, places)
        token, log_probability, ended = choose(apart.logits(hidden[:, 0]), number, done)
        return (cache, token, total + log_probability, ended), token

    first, total, done = choose(jnp.repeat(apart.logits(read.hidden), rows, axis=0), 0, jnp.zeros(rows, bool))
    copies = read.copies(rows)
    start = spread(([take(copies, layer) for layer in range(net.config.num_layers)], first, total, done))
    (_, _, total, _), rest = jax.lax.scan(step, start, jnp.arange(1, how.tokens))
    return Samples(jnp.concatenate([first[None], rest]).T, total)


def _without(logits: Float[Array, "n v"], tokens: tuple[int, ...]) -> Float[Array, "n v"]:
    """Return logits that exclude these tokens."""
    return logits.at[:, list(tokens)].set(-jnp.inf) if tokens else logits


def _choose(key: Key, logits: Float[Array, " v"], how: Sampling) -> Int[Array, ""]:
    """Draw one token."""
    if how.temperature == 0:
        return jnp.argmax(logits).astype(jnp.int32)
    logits = logits / how.temperature
    if how.top_p < 1:
        logits = jnp.where(logits > below(logits, how.top_p), logits, -jnp.inf)
    return categorical(key, logits, 1)[0].astype(jnp.int32)


HALVINGS = 28
"""Number of halvings of the interval: a width of 20 shrinks to 1e-7, the resolution of float32 at 1."""


def below(logits: Float[Array, " v"], top_p: float) -> Scalar:
    """Return a number just below the lowest logit of the likeliest tokens with this total probability.

    A token is among them if all likelier tokens together have less than `top_p`. Bisection finds the bound,
    because sorting tens of thousands of logits takes longer than computing them with a small model. It begins
    at the logit below which v tokens could not have 1 − `top_p` together, so `top_p` must be below 1.
    """
    probability = jax.nn.softmax(logits)
    highest = jnp.max(logits)
    lowest = highest - math.log(logits.size / (1 - top_p))

    def halve(_: Any, ends: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = ends
        middle = 0.5 * (low + high)
        enough = jnp.sum(jnp.where(logits > middle, probability, 0.0)) < top_p
        return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

    return jax.lax.fori_loop(0, HALVINGS, halve, (lowest, highest))[0]


def within_response(tokens: Int[Array, "n t"], ends: tuple[int, ...]) -> Bool[Array, "n t"]:
    """Say which tokens belong to a response: all up to and including the one that ends it."""
    if not ends:
        return jnp.ones(tokens.shape, bool)
    is_end = jnp.isin(tokens, jnp.array(ends, jnp.int32)).astype(jnp.int32)
    return jnp.cumsum(is_end, axis=1) - is_end == 0


def following(
    net: Net, read: Read, tokens: Int[Array, "n t"], spread: Spread = as_it_is
) -> Float[Array, "n t_1 d"]:
    """Return hidden states from the last token of a prompt to that of each response."""
    rows = tokens.shape[0]
    cache = jax.vmap(spread)(read.copies(rows))  # of each layer
    hidden, _ = extend(net, read, cache, spread(tokens), 0, read.size + tokens.shape[1])
    before = jnp.broadcast_to(read.hidden[:, None], (rows, 1, hidden.shape[2]))
    return jnp.concatenate([before, hidden], axis=1)


def last_hidden(
    net: Net, read: Read, tokens: Int[Array, "n t"], ends: tuple[int, ...], spread: Spread = as_it_is
) -> Float[Array, "n d"]:
    """Return the final hidden state at the last token of each response, in float32, for a head to score."""
    hidden = following(net, read, tokens, spread)
    last = jnp.sum(within_response(tokens, ends), axis=1)
    return jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0].astype(jnp.float32)


def last_hidden_alone(
    net: Net,
    begins: tuple[int, ...],
    tokens: Int[Array, "n t"],
    ends: tuple[int, ...],
    spread: Spread = as_it_is,
) -> Float[Array, "n d"]:
    """Return `last_hidden` of responses without a prompt, after the tokens that begin every text."""
    rows, before = tokens.shape[0], len(begins)
    begin = jnp.broadcast_to(jnp.array(begins, tokens.dtype), (rows, before))
    text = spread(jnp.concatenate([begin, tokens], axis=1))
    places = jnp.arange(text.shape[1])
    mask = places[None, None, :] <= places[None, :, None]
    hidden, _ = net(text, jnp.broadcast_to(places, text.shape), mask)
    last = before + jnp.sum(within_response(tokens, ends), axis=1) - 1
    return jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0].astype(jnp.float32)


def log_likelihood(
    net: Net, read: Read, tokens: Int[Array, "n t"], ends: tuple[int, ...], spread: Spread = as_it_is
) -> tuple[Float[Array, " n"], Int[Array, " n"]]:
    """Return Σ log π over the tokens of each response, and their number."""
    each = log_probabilities(net, read, tokens, spread)
    belongs = within_response(tokens, ends)
    return jnp.sum(jnp.where(belongs, each, 0.0), axis=1), jnp.sum(belongs, axis=1)


def log_probabilities(
    net: Net, read: Read, tokens: Int[Array, "n t"], spread: Spread = as_it_is
) -> Float[Array, "n t"]:
    """Return log π of each token of each response, including those after its end."""
    return _log_probabilities(net, following(net, read, tokens, spread)[:, :-1], tokens)


def prompt_log_likelihood(net: Net, read: Read, prompt: Int[Array, " p"]) -> tuple[Scalar, Scalar]:
    """Return Σ log π over the tokens of a prompt except its first, and their number."""
    each = _log_probabilities(net, read.states[:, :-1], prompt[None, 1:])[0]
    belongs = jnp.arange(1, len(prompt)) < read.length
    return jnp.sum(jnp.where(belongs, each, 0.0)), read.length - 1


def _log_probabilities(
    net: Net, hidden: Float[Array, "n t d"], tokens: Int[Array, "n t"]
) -> Float[Array, "n t"]:
    """Return log π of each token, given the hidden state at the token before it."""
    return -softmax_cross_entropy_with_integer_labels(net.logits(hidden), tokens)
