"""Sizes of a Llama, and how it rotates queries and keys."""

import dataclasses
import math

import numpy as np


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of a model."""

    num_layers: int
    vocab_size: int
    embed_dim: int
    hidden_dim: int
    num_heads: int
    head_dim: int
    num_kv_heads: int
    norm_eps: float = 1e-5
    weight_tying: bool = True
    rope: Rope = Rope()

    @property
    def projections(self) -> dict[str, tuple[int, int]]:
        """The matrices of a layer, by their names in a checkpoint, as [into, out of]."""
        d, width = self.embed_dim, self.hidden_dim
        queries, keys = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        return {
            "q_proj": (d, queries),
            "k_proj": (d, keys),
            "v_proj": (d, keys),
            "o_proj": (queries, d),
            "gate_proj": (d, width),
            "up_proj": (d, width),
            "down_proj": (width, d),
        }


NORMS = ("input_layernorm", "post_attention_layernorm")
"""The norms of a layer, by their names in a checkpoint."""


def block(projection: str) -> str:
    """Return the part of a layer in which a checkpoint has a projection."""
    return "mlp" if projection in ("gate_proj", "up_proj", "down_proj") else "self_attn"


KNOWN: dict[str, tuple[str, Config]] = {
    "llama-3.2-1b": (
        "meta-llama/Llama-3.2-1B-Instruct",
        Config(
            num_layers=16,
            vocab_size=128_256,
            embed_dim=2048,
            hidden_dim=8192,
            num_heads=32,
            head_dim=64,
            num_kv_heads=8,
            rope=Rope(kind="llama3", factor=32.0),
        ),
    ),
    "llama-3.2-3b": (
        "meta-llama/Llama-3.2-3B-Instruct",
        Config(
            num_layers=28,
            vocab_size=128_256,
            embed_dim=3072,
            hidden_dim=8192,
            num_heads=24,
            head_dim=128,
            num_kv_heads=8,
            rope=Rope(kind="llama3", factor=32.0),
        ),
    ),
    "llama-3.1-8b": (
        "meta-llama/Llama-3.1-8B-Instruct",
        Config(
            num_layers=32,
            vocab_size=128_256,
            embed_dim=4096,
            hidden_dim=14_336,
            num_heads=32,
            head_dim=128,
            num_kv_heads=8,
            weight_tying=False,
            rope=Rope(kind="llama3", factor=8.0),
        ),
    ),
    "smollm2-135m": (
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        Config(
            num_layers=30,
            vocab_size=49_152,
            embed_dim=576,
            hidden_dim=1536,
            num_heads=9,
            head_dim=64,
            num_kv_heads=3,
            rope=Rope(100_000.0),
        ),
    ),
}
"""Sizes by name, and where their weights are published."""
