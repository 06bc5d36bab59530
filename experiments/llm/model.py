"""Llama on tunix's layers: hidden states, logits of some of them, and low-rank adapters by qwix.

tunix's rotary embedding takes neither its base nor its scaling from the checkpoint, without which logits of
Llama 3.2 are wrong; ours does, and stands in its place wherever a model is called here. Everything else, the
layers, their sharding and the loading of weights, is tunix's.
"""

import contextlib
import dataclasses
import functools
import math
import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import qwix
from flax import nnx, struct
from jaxtyping import Array, Float, Int, PyTree
from tunix.models.llama3 import model as tunix_llama

from fpo_jax.numerics.keys import named_key
from fpo_jax.types import Key

Cache = dict[str, dict[str, Array]]


@dataclasses.dataclass(frozen=True)
class Rope:
    """How a checkpoint rotates queries and keys: θ_i = base^(−2i/d), of which `llama3` slows the low ones."""

    base: float = 500_000.0
    kind: str = "default"  # or linear, llama3
    factor: float = 1.0
    low: float = 1.0
    high: float = 4.0
    original_length: int = 8192

    def frequencies(self, head_dim: int) -> np.ndarray:
        """Return [head_dim / 2] angles per position, in radians.

        `llama3`: with λ = 2π/θ and smooth = (L/λ − low) / (high − low), θ where λ < L/high, θ/factor where
        λ > L/low, and (1 − smooth) θ/factor + smooth θ between, for the original length L.
        """
        plain = 1.0 / self.base ** (np.arange(0, head_dim, 2) / head_dim)
        if self.kind == "default":
            return plain
        if self.kind == "linear":
            return plain / self.factor
        turns = self.original_length * plain / (2.0 * math.pi)
        smooth = np.clip((turns - self.low) / (self.high - self.low), 0.0, 1.0)
        return (1.0 - smooth) * plain / self.factor + smooth * plain


@dataclasses.dataclass(frozen=True)
class Config(tunix_llama.ModelConfig):
    """tunix's sizes of a model, and its rotary embedding."""

    rope: Rope = Rope()


KNOWN: dict[str, tuple[str, Config]] = {
    f"llama-{version}": (
        f"meta-llama/Llama-{version.replace('b', 'B')}-Instruct",
        Config(**vars(sizes), rope=Rope(kind="llama3", factor=factor)),
    )
    for version, sizes, factor in (
        ("3.2-1b", tunix_llama.ModelConfig.llama3p2_1b(), 32.0),
        ("3.2-3b", tunix_llama.ModelConfig.llama3p2_3b(), 32.0),
        ("3.1-8b", tunix_llama.ModelConfig.llama3p1_8b(), 8.0),
    )
} | {
    "smollm2-135m": (
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        Config(
            num_layers=30,
            vocab_size=49152,
            embed_dim=576,
            hidden_dim=1536,
            num_heads=9,
            head_dim=64,
            num_kv_heads=3,
            rope_theta=100_000,
            norm_eps=1e-5,
            weight_tying=True,
            rope=Rope(100_000.0),
        ),
    )
}
"""Sizes by name, and where their weights are published."""


@contextlib.contextmanager
def _rotating(config: Config) -> Iterator[None]:
    """Let tunix's attention rotate by the checkpoint's frequencies while a model is traced."""

    def rotate(inputs: Array, positions: Array, head_dim: int, **_: Any) -> Array:
        angles = positions[..., None, None] * config.rope.frequencies(head_dim).astype(np.float32)
        first, second = jnp.split(inputs, 2, axis=-1)
        sin, cos = jnp.sin(angles), jnp.cos(angles)
        turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
        return turned.astype(inputs.dtype)

    theirs = tunix_llama.apply_rope
    tunix_llama.apply_rope = rotate
    try:
        yield
    finally:
        tunix_llama.apply_rope = theirs


class Llama(tunix_llama.Llama3):
    """tunix's Llama, called for hidden states; logits are computed only of those that are asked for."""

    def __call__(
        self,
        input_tokens: Int[Array, "b t"],
        positions: Int[Array, "b t"],
        cache: Cache | None,
        attention_mask: Array,
    ) -> tuple[Float[Array, "b t d"], Cache | None]:
        """Return final hidden states, after the last norm, and the cache with these tokens in it."""
        with _rotating(self.config):
            x = self.embedder.encode(input_tokens)
            filled = {}
            for i, layer in enumerate(self.layers):
                name = f"layer_{i}"
                one, x = layer(x, positions, None if cache is None else cache[name], attention_mask)
                filled[name] = one
            return self.final_norm(x), None if cache is None else filled

    def logits(self, hidden: Float[Array, "*b d"]) -> Float[Array, "*b v"]:
        """Return logits over the vocabulary, in float32."""
        if self.config.weight_tying:
            return self.embedder.decode(hidden).astype(jnp.float32)
        return jnp.einsum("...d,dv->...v", hidden, self.lm_head.w.value).astype(jnp.float32)


@struct.dataclass
class Net:
    """A model as plain data: how it is put together, its frozen weights and its adapter, in float32 if any.

    The adapter's updates are far smaller than what bfloat16 tells apart, so it is kept in float32 and cast
    where it is used.
    """

    graph: Any = struct.field(pytree_node=False)
    config: Config = struct.field(pytree_node=False)
    frozen: PyTree
    adapter: PyTree = None
    dropout_key: Any = None  # of one pass with dropout; None: there is none

    @property
    def dtype(self) -> Any:
        """The dtype of the frozen weights, in which the model computes."""
        return jax.tree.leaves(self.frozen)[0].dtype

    def module(self) -> Llama:
        """Return the model, ready to be called at the level of tracing at which it is made."""
        if self.adapter is None:
            return nnx.merge(self.graph, self.frozen)
        cast = jax.tree.map(lambda leaf: leaf.astype(self.dtype), self.adapter)
        module = nnx.merge(self.graph, cast, self.frozen)
        if self.dropout_key is not None:
            module.set_attributes(qwix_rngs=nnx.Rngs(dropout=self.dropout_key), raise_if_not_found=False)
        return module

    def adapted(self, adapter: PyTree, lora: "Lora") -> "Net":
        """Return the same model with an adapter."""
        graph, _ = adapter_graph(self.config, lora)
        return Net(graph, self.config, self.frozen, adapter)

    def dropping(self, lora: "Lora", key: Key) -> "Net":
        """Return the same model with its adapter's dropout on, for one pass: it draws by this key."""
        graph, _ = adapter_graph(self.config, lora, lora.dropout)
        return Net(graph, self.config, self.frozen, self.adapter, key)


@dataclasses.dataclass(frozen=True)
class Lora:
    """Low-rank adapters: W + (alpha / rank) · A B on some projections of every layer.

    `dropout` is the share of A's input that is dropped where `Net.dropping` asks for it, and nowhere else.
    """

    rank: int = 16
    alpha: float = 32.0
    modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    dropout: float = 0.0


def empty_cache(config: Config, rows: int, size: int, dtype: Any) -> Cache:
    """Return room for the keys and values of so many tokens."""
    shape = (rows, size, config.num_kv_heads, config.head_dim)
    layer = {
        "k": jnp.zeros(shape, dtype),
        "v": jnp.zeros(shape, dtype),
        "end_index": jnp.zeros(rows, jnp.int32),
    }
    return {f"layer_{i}": layer for i in range(config.num_layers)}


@functools.lru_cache
def plain_graph(config: Config) -> tuple[Any, PyTree]:
    """Return how a model is put together, and the shapes of its weights."""
    abstract = nnx.eval_shape(lambda: Llama(config, rngs=nnx.Rngs(params=0)))
    return nnx.split(abstract)


@functools.lru_cache
def adapter_graph(config: Config, lora: Lora, dropout: float = 0.0) -> tuple[Any, PyTree]:
    """Return how a model with adapters is put together, and the shapes of the adapters."""
    path = f".*({'|'.join(map(re.escape, lora.modules))})"

    def make() -> Llama:
        model = Llama(config, rngs=nnx.Rngs(params=0))
        provider = qwix.LoraProvider(module_path=path, rank=lora.rank, alpha=lora.alpha, dropout=dropout)
        one, mask = jnp.zeros((1, 1), jnp.int32), jnp.ones((1, 1, 1), bool)
        return qwix.apply_lora_to_model(
            model, provider, one, one, None, mask, rngs=nnx.Rngs(0), methods=("__call__",)
        )

    split: Any = nnx.split(nnx.eval_shape(make), nnx.LoRAParam, ...)
    return split[0], split[1]


def fresh_adapter(config: Config, lora: Lora, key: Key) -> PyTree:
    """Draw an adapter that changes nothing yet: A ~ U(−1, 1) / √fan_in, as PEFT does, and B = 0."""
    draw = jax.nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform")

    def leaf(path: Any, shape: jax.ShapeDtypeStruct) -> Array:
        name = jax.tree_util.keystr(path)
        if "lora_b" in name:
            return jnp.zeros(shape.shape, jnp.float32)
        flat = (math.prod(shape.shape[:-1]), shape.shape[-1])
        return draw(named_key(key, name), flat, jnp.float32).reshape(shape.shape)

    return jax.tree_util.tree_map_with_path(leaf, adapter_graph(config, lora)[1])


def parameters(tree: PyTree) -> int:
    """Return how many numbers a tree of arrays or of shapes holds."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
