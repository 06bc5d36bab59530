"""A causal transformer that reads one word at a time, and the two ways to walk through texts with it.

`every_text` visits all texts over a vocabulary level by level, each once: those of one length continue those
of the length before. `one_text` follows a single text, drawn word by word or given. Both read by the same
function, so that what is enumerated and what is sampled is one policy.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from fpo_jax.keys import normal
from fpo_jax.types import Key

ZEROS = nn.initializers.zeros  # `Transformer.start` draws them all
Word = Int[Array, ""]


class Read(NamedTuple):
    """What the transformer makes of one word.

    Attributes:
        output: [outputs] scores.
        hidden: [width] hidden state, normalised.
        kept: [layers, 2, width] key and value of each layer, for the words that follow.
    """

    output: Float[Array, "... outputs"]
    hidden: Float[Array, "... width"]
    kept: Float[Array, "... layers 2 width"]


class Transformer(nn.Module):
    """Pre-norm causal transformer with learned positions, that reads the word at one position.

    Its scores begin at 0: a policy made of them begins at its reference.

    Attributes:
        symbols: number of words it can read.
        places: number of positions.
        outputs: number of scores.
        width, layers, heads: its sizes; heads divides width.
    """

    symbols: int
    places: int
    outputs: int
    width: int
    layers: int
    heads: int

    @nn.compact
    def __call__(self, word: Word, position: Array | int, kept: Float[Array, "places layers 2 width"]) -> Read:
        """Read a word after those whose keys and values are kept, of which only `position` many count."""
        dtype = jnp.result_type(float)

        def dense(size: int, name: str) -> nn.Dense:
            return nn.Dense(size, use_bias=False, param_dtype=dtype, kernel_init=ZEROS, name=name)

        def norm(x: Array) -> Array:
            return x * jax.lax.rsqrt(jnp.mean(x**2) + 1e-6)

        def table(name: str, rows: int) -> Array:
            return self.param(name, ZEROS, (rows, self.width), dtype)

        x = table("words", self.symbols)[word] + table("positions", self.places)[position]
        seen = jnp.append(jnp.arange(kept.shape[0]) < position, True)
        by_head, new = (self.heads, self.width // self.heads), []
        for layer in range(self.layers):
            query, key, value = jnp.split(dense(3 * self.width, f"attend_{layer}")(norm(x)), 3)
            new.append(jnp.stack([key, value]))
            keys, values = (
                jnp.concatenate([kept[:, layer, i], new[-1][i : i + 1]]).reshape(-1, *by_head)
                for i in (0, 1)
            )
            scores = jnp.einsum("hd,shd->hs", query.reshape(by_head), keys) / keys.shape[-1] ** 0.5
            attention = jax.nn.softmax(jnp.where(seen[None], scores, -jnp.inf), axis=1)
            x = x + dense(self.width, f"gather_{layer}")(jnp.einsum("hs,shd->hd", attention, values).reshape(-1))
            inner = jax.nn.gelu(dense(2 * self.width, f"widen_{layer}")(norm(x)))
            x = x + dense(self.width, f"narrow_{layer}")(inner)
        hidden = norm(x)
        return Read(dense(self.outputs, "scores")(hidden), hidden, jnp.stack(new))

    def start(self, key: Key) -> PyTree:
        """Draw its parameters: tables from N(0, 1), layers from N(0, 1 / inputs), scores 0."""
        shapes = jax.eval_shape(self.init, key, jnp.asarray(0), 0, self.nothing(0))["params"]
        flat, unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes))
        drawn = unravel(normal(key, flat.shape))  # at once: every further drawing takes long to compile
        for name, layer in drawn.items():
            if "kernel" in layer:
                scale = 0.0 if name == "scores" else layer["kernel"].shape[0] ** -0.5
                drawn[name] = {"kernel": scale * layer["kernel"]}
        return drawn

    def read(self, parameters: PyTree, word: Word, position: Array | int, kept: Array) -> Read:
        """Read a word at these parameters."""
        return self.apply({"params": parameters}, word, position, kept)  # type: ignore[return-value]

    def nothing(self, places: int) -> Float[Array, "places layers 2 width"]:
        """Return room for what is kept of so many words."""
        return jnp.zeros((places, self.layers, 2, self.width))


def every_text(model: Transformer, parameters: PyTree, first: Word, words: int, length: int) -> list[Read]:
    """Return what is made of every text of 0 … `length` words after a first one, level by level.

    Entry t has a leading axis of words^t: the texts of t words in lexicographic order, at their last word.
    Each is read once, after what was kept of the text that it continues.
    """
    read = jax.vmap(lambda word, place, kept: model.read(parameters, word, place, kept), (0, None, 0))
    kept = model.nothing(0)[None]
    levels = [read(first[None], 0, kept)]
    for t in range(1, length + 1):
        kept = jnp.concatenate([kept, levels[-1].kept[:, None]], axis=1)
        kept = jnp.repeat(kept, words, axis=0)
        levels.append(read(jnp.tile(jnp.arange(words), words ** (t - 1)), t, kept))
    return levels


def one_text(
    model: Transformer,
    parameters: PyTree,
    first: Word,
    length: int,
    choose: Callable[[Array, Array, Word], Word],
) -> tuple[Int[Array, " length"], Read]:
    """Return a text of `length` words after a first one, and what was read before each of them.

    `choose` gives the next word, a function of how many there are, the output, and the word just read.
    """

    def write(carry: tuple[Word, Array], position: Array) -> tuple[tuple[Word, Array], tuple[Word, Read]]:
        word, kept = carry
        read = model.read(parameters, word, position, kept)
        following = choose(position, read.output, word)
        return (following, kept.at[position].set(read.kept)), (following, read)

    return jax.lax.scan(write, (first, model.nothing(length)), jnp.arange(length))[1]
