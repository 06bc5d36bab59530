"""Llama as a function of its weights: hidden states, logits of some of them, and low-rank adapters.

Weights of all layers are in one array with a leading axis [layer]. A scan over it lets a program contain one
layer, whatever their number. When tokens are drawn one by one, a scan would copy each layer's weights for
each token, so `Net.unrolled` separates the layers once for all tokens.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int, PyTree

from fpo_jax.experiments.llm.config import NORMS, Config
from fpo_jax.numerics.keys import named_key
from fpo_jax.types import Key, Scalar


@dataclasses.dataclass(frozen=True)
class Lora:
    """Low-rank adapters: W + (alpha / rank) · A B on some projections of every layer.

    `dropout` is the share of A's input to drop, only in a `Net.dropping`.
    """

    rank: int = 16
    alpha: float = 32.0
    modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    dropout: float = 0.0


class Cache(struct.PyTreeNode):
    """Keys and values of the tokens so far.

    Attributes:
        keys, values: [layer, b, key heads, places, d], or of one layer.
    """

    keys: Array
    values: Array


class Layer(struct.PyTreeNode):
    """One layer, or all layers with a leading axis.

    Attributes:
        weights: by name, [into, out of]; norms [d].
        adapter: {projection: {"a": [into, r], "b": [r, out of]}}, or None.
        key: of dropout, or None.
    """

    weights: dict[str, Array]
    adapter: dict[str, dict[str, Array]] | None = None
    key: Any = None


@struct.dataclass
class Net:
    """A model as plain data: its sizes, its frozen weights, and its adapter, in float32 if any.

    The adapter's updates are far below the resolution of bfloat16, so it is kept in float32 and cast where it
    is used.

    Attributes:
        config: its sizes.
        frozen: {"embed": [v, d], "layers": {name: [layer, …]}, "norm": [d]}, and "lm_head": [d, v] where
            embeddings are not tied.
        adapter: {projection: {"a": [layer, into, r], "b": [layer, r, out of]}}, or None.
        lora: how the adapter is used.
        dropout_key: for one pass with dropout; None for no dropout.
        unroll: whether programs contain layer after layer instead of a scan, so that XLA counts all of them.
    """

    config: Config = struct.field(pytree_node=False)
    frozen: PyTree
    adapter: PyTree = None
    lora: Lora | None = struct.field(pytree_node=False, default=None)
    dropout_key: Any = None
    unroll: bool = struct.field(pytree_node=False, default=False)

    @property
    def dtype(self) -> Any:
        """The dtype of the frozen weights, in which the model computes."""
        return self.frozen["norm"].dtype

    def adapted(self, adapter: PyTree, lora: Lora) -> "Net":
        """Return the same model with an adapter."""
        return dataclasses.replace(self, adapter=adapter, lora=lora)

    def dropping(self, key: Key) -> "Net":
        """Return the same model with its adapter's dropout on, for one pass with this key."""
        return dataclasses.replace(self, dropout_key=key)

    def layers(self) -> Layer:
        """Return all layers in the precision of computation."""
        keys = (
            None if self.dropout_key is None else jax.random.split(self.dropout_key, self.config.num_layers)
        )
        adapter = jax.tree.map(lambda leaf: leaf.astype(self.dtype), self.adapter)
        return Layer(self.frozen["layers"], adapter, keys)

    def unrolled(self) -> "Unrolled":
        """Return the model with separate layers, and with its logit matrix ready for multiplication."""
        layers, number = self.layers(), self.config.num_layers
        # otherwise an untied matrix would be transposed at each token
        words = jax.lax.optimization_barrier(self.head.T)
        return Unrolled(self, [take(layers, i) for i in range(number)], words)

    @property
    def head(self) -> Float[Array, "d v"]:
        """The matrix from hidden states to logits."""
        return self.frozen["embed"].T if self.config.weight_tying else self.frozen["lm_head"]

    def logits(self, hidden: Float[Array, "*b d"]) -> Float[Array, "*b v"]:
        """Return logits over the vocabulary, in float32."""
        return (hidden @ self.head).astype(jnp.float32)

    def __call__(
        self,
        tokens: Int[Array, "b t"],
        positions: Int[Array, "b t"],
        mask: Bool[Array, "#b t s"],
        cache: Cache | None = None,
        start: Scalar | int = 0,
    ) -> tuple[Float[Array, "b t d"], Cache | None]:
        """Return final hidden states, after the last norm, and the cache with these tokens in it.

        Args:
            tokens: [b, t] to read.
            positions: [b, t] of each in its text, for the rotation of queries and keys.
            mask: [b, t, s] which of s places each token may attend to.
            cache: room for keys and values; without it the s places are the tokens themselves.
            start: the place of the first token in the cache.
        """
        x = self.frozen["embed"][tokens]
        angles = turn(self.config, positions)

        def through(x: Array, scanned: tuple[Layer, Cache | None]) -> tuple[Array, Cache | None]:
            layer, room = scanned
            return self.layer(layer, x, angles, mask, room, start)

        x, filled = jax.lax.scan(through, x, (self.layers(), cache), unroll=self.unroll)
        return norm(x, self.frozen["norm"], self.config.norm_eps), filled

    def layer(
        self,
        layer: Layer,
        x: Float[Array, "b t d"],
        angles: tuple[Array, Array],
        mask: Bool[Array, "#b t s"],
        cache: Cache | None,
        start: Scalar | int,
    ) -> tuple[Float[Array, "b t d"], Cache | None]:
        """Return the output of one layer, and its cache with these tokens in it."""
        config, (b, t) = self.config, x.shape[:2]
        heads, groups = config.num_kv_heads, config.num_heads // config.num_kv_heads
        before, after = (layer.weights[name] for name in NORMS)

        h = norm(x, before, config.norm_eps)
        q = self._project(layer, "q_proj", h).reshape(b, t, heads, groups, config.head_dim)
        k, v = (self._project(layer, name, h).reshape(b, t, heads, -1) for name in ("k_proj", "v_proj"))
        q = jnp.moveaxis(rotate(q, *(part[:, :, None, None] for part in angles)), 1, 3)  # [b, k, g, t, d]
        k = jnp.moveaxis(rotate(k, *(part[:, :, None] for part in angles)), 1, 2)  # [b, k, t, d]
        v = jnp.moveaxis(v, 1, 2)
        if cache is not None:
            at = (0, 0, start, 0)
            cache = Cache(
                jax.lax.dynamic_update_slice(cache.keys, k, at),
                jax.lax.dynamic_update_slice(cache.values, v, at),
            )
            k, v = cache.keys, cache.values
        scores = jnp.einsum("bkgtd,bksd->bkgts", q, k).astype(jnp.float32) / math.sqrt(config.head_dim)
        scores = jnp.where(mask[:, None, None], scores, jnp.finfo(jnp.float32).min)
        seen = jnp.einsum("bkgts,bksd->bkgtd", jax.nn.softmax(scores).astype(x.dtype), v)
        x = x + self._project(layer, "o_proj", jnp.moveaxis(seen, 3, 1).reshape(b, t, -1))

        h = norm(x, after, config.norm_eps)
        gate, up = (self._project(layer, name, h) for name in ("gate_proj", "up_proj"))
        return x + self._project(layer, "down_proj", jax.nn.silu(gate) * up), cache

    def _project(self, layer: Layer, name: str, x: Float[Array, "b t i"]) -> Float[Array, "b t o"]:
        """Return x W, plus (alpha / rank) · x A B if the projection has an adapter."""
        out = x @ layer.weights[name]
        if layer.adapter is None or name not in layer.adapter:
            return out
        assert self.lora is not None
        if layer.key is not None:
            keep = 1.0 - self.lora.dropout
            kept = jax.random.bernoulli(named_key(layer.key, name), keep, x.shape)
            x = jnp.where(kept, x / keep, 0.0).astype(x.dtype)
        matrices = layer.adapter[name]
        return out + (self.lora.alpha / self.lora.rank) * ((x @ matrices["a"]) @ matrices["b"])


class Unrolled(struct.PyTreeNode):
    """A model for many calls with few tokens each.

    Attributes:
        net: the model.
        layers: one by one.
        words: [v, d] the matrix from hidden states to logits, one row a word.
    """

    net: Net
    layers: list[Layer]
    words: Float[Array, "v d"]

    def __call__(
        self,
        tokens: Int[Array, "b t"],
        positions: Int[Array, "b t"],
        mask: Bool[Array, "#b t s"],
        cache: list[Cache],
        start: Scalar | int,
    ) -> tuple[Float[Array, "b t d"], list[Cache]]:
        """Return the same as `Net`, with a cache for each layer."""
        x, filled = self.net.frozen["embed"][tokens], []
        angles = turn(self.net.config, positions)
        for layer, room in zip(self.layers, cache, strict=True):
            x, one = self.net.layer(layer, x, angles, mask, room, start)
            assert one is not None
            filled.append(one)
        return norm(x, self.net.frozen["norm"], self.net.config.norm_eps), filled

    def logits(self, hidden: Float[Array, "*b d"]) -> Float[Array, "*b v"]:
        """Return logits over the vocabulary, in float32."""
        # With few hidden states on a CPU, words × states takes less than half the time of states × words.
        # Without the barrier XLA would take the transpose into the product.
        product = jnp.einsum("vd,...d->v...", self.words, hidden)
        return jnp.moveaxis(jax.lax.optimization_barrier(product), 0, -1).astype(jnp.float32)


def norm(x: Float[Array, "*b d"], weight: Float[Array, " d"], epsilon: float) -> Float[Array, "*b d"]:
    """Return weight · x / √(mean x² + ε), with the mean in float32."""
    wide = x.astype(jnp.float32)
    scaled = wide * jax.lax.rsqrt(jnp.mean(wide**2, axis=-1, keepdims=True) + epsilon)
    return jnp.broadcast_to(weight, x.shape) * scaled.astype(x.dtype)


def turn(config: Config, positions: Int[Array, "b t"]) -> tuple[Array, Array]:
    """Return cosine and sine [b, t, head_dim / 2] of the rotation angles at these positions."""
    frequencies = config.rope.frequencies(config.head_dim).astype(np.float32)
    angles = positions[:, :, None].astype(jnp.float32) * frequencies[None, None]
    return jnp.cos(angles), jnp.sin(angles)


def rotate(
    x: Float[Array, "*b d"], cos: Float[Array, "*b h"], sin: Float[Array, "*b h"]
) -> Float[Array, "*b d"]:
    """Return x with its first and second half rotated as a pair."""
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return turned.astype(x.dtype)


def take(tree: PyTree, index: int) -> PyTree:
    """Return one layer of arrays with a leading axis [layer]."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def empty_cache(config: Config, rows: int, size: int, dtype: Any) -> Cache:
    """Return an empty cache for the keys and values of this many tokens in all layers."""
    shape = (config.num_layers, rows, config.num_kv_heads, size, config.head_dim)
    return Cache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))


def weight_shapes(config: Config, dtype: Any = jnp.float32) -> PyTree:
    """Return the shapes of a model's weights."""
    d, layers = config.embed_dim, config.projections | dict.fromkeys(NORMS, (config.embed_dim,))
    shapes: dict[str, Any] = {
        "embed": (config.vocab_size, d),
        "layers": {name: (config.num_layers, *shape) for name, shape in layers.items()},
        "norm": (d,),
    }
    if not config.weight_tying:
        shapes["lm_head"] = (d, config.vocab_size)
    return jax.tree.map(
        lambda shape: jax.ShapeDtypeStruct(shape, dtype), shapes, is_leaf=lambda node: isinstance(node, tuple)
    )


def adapter_shapes(config: Config, lora: Lora) -> PyTree:
    """Return the shapes of an adapter."""

    def matrix(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((config.num_layers, *shape), jnp.float32)

    sizes = {name: config.projections[name] for name in lora.modules}
    return {name: {"a": matrix(i, lora.rank), "b": matrix(lora.rank, o)} for name, (i, o) in sizes.items()}


def fresh_adapter(config: Config, lora: Lora, key: Key) -> PyTree:
    """Draw an adapter that initially changes nothing: A ~ U(−1, 1) / √fan_in, as PEFT does, and B = 0."""

    def fresh(name: str, shapes: dict[str, jax.ShapeDtypeStruct]) -> dict[str, Array]:
        a, b = shapes["a"].shape, shapes["b"].shape
        most = 1.0 / math.sqrt(a[1])
        drawn = jax.random.uniform(named_key(key, name), a, jnp.float32, -most, most)
        return {"a": drawn, "b": jnp.zeros(b, jnp.float32)}

    return {name: fresh(name, shapes) for name, shapes in adapter_shapes(config, lora).items()}


def parameters(tree: PyTree) -> int:
    """Return the number of entries in a tree of arrays or shapes."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
