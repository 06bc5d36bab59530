"""A causal transformer over a tree of texts; a single text is a tree without branches.

Texts with the same beginning share the work of reading it: all V^L texts of L words have 1 + V + … + V^L
beginnings, and each is read once. Enumerated and sampled texts go through the same function.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from fpo_jax.numerics.keys import normal
from fpo_jax.types import Key

ZEROS = nn.initializers.zeros  # `Transformer.start` draws all parameters


class Tree(NamedTuple):
    """Texts by their beginnings: nodes level by level, those of one level in lexicographic order; constants.

    Attributes:
        depth: [nodes] number of words read before.
        path: [nodes, levels] the node itself and those that it continues, by depth.
        mask: [nodes, levels] whether there is one.
    """

    depth: np.ndarray
    path: np.ndarray
    mask: np.ndarray


def tree(branches: int, levels: int) -> Tree:
    """Return the tree in which every node above the last level has this many children."""
    sizes = branches ** np.arange(levels)
    begins = np.cumsum(sizes) - sizes
    depth = np.repeat(np.arange(levels), sizes)
    above = depth[:, None] - np.arange(levels)[None]
    place = (np.arange(depth.size) - begins[depth])[:, None] // branches ** np.maximum(above, 0)
    return Tree(depth, np.where(above >= 0, begins[None] + place, 0), above >= 0)


class Transformer(nn.Module):
    """Pre-norm causal transformer with learned positions; its scores begin at 0.

    Attributes:
        symbols: number of words that it can read.
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
    def __call__(
        self, words: Int[Array, " nodes"], texts: Tree
    ) -> tuple[Float[Array, "nodes outputs"], Float[Array, "nodes width"]]:
        """Return the scores and the normalised hidden state at every node, which reads its own path."""
        dtype = jnp.result_type(float)

        def dense(size: int, name: str) -> nn.Dense:
            return nn.Dense(size, use_bias=False, param_dtype=dtype, kernel_init=ZEROS, name=name)

        def norm(x: Array) -> Array:
            return x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-6)

        def table(name: str, rows: int) -> Array:
            return self.param(name, ZEROS, (rows, self.width), dtype)

        by_head = (self.heads, self.width // self.heads)
        x = table("words", self.symbols)[words] + table("positions", self.places)[texts.depth]
        for layer in range(self.layers):
            query, *read = jnp.split(dense(3 * self.width, f"attend_{layer}")(norm(x)), 3, axis=-1)
            keys, values = (part[texts.path].reshape(*texts.path.shape, *by_head) for part in read)
            scores = jnp.einsum("nhd,nshd->nsh", query.reshape(-1, *by_head), keys) / by_head[1] ** 0.5
            attention = jax.nn.softmax(jnp.where(texts.mask[..., None], scores, -jnp.inf), axis=1)
            heard = jnp.einsum("nsh,nshd->nhd", attention, values).reshape(-1, self.width)
            x = x + dense(self.width, f"gather_{layer}")(heard)
            inner = jax.nn.gelu(dense(2 * self.width, f"widen_{layer}")(norm(x)))
            x = x + dense(self.width, f"narrow_{layer}")(inner)
        hidden = norm(x)
        return dense(self.outputs, "scores")(hidden), hidden

    def start(self, key: Key) -> PyTree:
        """Draw its parameters: tables from N(0, 1), layers from N(0, 1 / inputs), scores 0."""
        shapes = jax.eval_shape(lambda: self.init(key, jnp.zeros(1, int), tree(1, 1)))["params"]
        flat, unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes))
        drawn = unravel(normal(key, flat.shape))  # at once: every further drawing takes long to compile
        for name, layer in drawn.items():
            if isinstance(layer, dict):  # a layer, not a table
                scale = 0.0 if name == "scores" else layer["kernel"].shape[0] ** -0.5
                drawn[name] = {"kernel": scale * layer["kernel"]}
        return drawn

    def read(self, parameters: PyTree, words: Int[Array, " nodes"], texts: Tree) -> tuple[Array, Array]:
        """Return scores and hidden states at these parameters."""
        return self.apply({"params": parameters}, words, texts)  # type: ignore[return-value]


def every_word(first: Array, branches: int, levels: int) -> Int[Array, " nodes"]:
    """Return the last word at every node of the tree of all texts: a first one, then 0 … branches − 1."""
    later = [jnp.tile(jnp.arange(branches), branches**t) for t in range(levels - 1)]
    return jnp.concatenate([first[None], *later])


def level(nodes: Array, branches: int, t: int) -> Array:
    """Return the rows of the nodes at depth t."""
    begin = sum(branches**s for s in range(t))
    return nodes[begin : begin + branches**t]
