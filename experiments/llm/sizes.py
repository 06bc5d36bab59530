"""The sizes of a model from the config.json of a checkpoint in the Hugging Face layout."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpo_jax.errors import InputError
from fpo_jax.experiments.llm.config import Config, Rope
from fpo_jax.experiments.llm.model_folder import read_json

MOST_LAYERS, LARGEST = 1000, 2**24
"""Maximum layers of a model, and maximum of its other sizes; the largest Llama has 126 layers and 128 256
tokens.
"""


def read_config(folder: Path, what: str) -> Config:
    """Return the sizes of a checkpoint from its config.json.

    Raises:
        InputError: when there is no such folder or file, or it is not a supported Llama.
    """
    if not folder.is_dir():
        allowed = "a folder with a checkpoint, or with --dry-run a known size, as listed in docs/howto/llm.md"
        raise InputError(what, folder, allowed)
    stored = read_json(folder, "config.json", what)

    def require(holds: bool, name: str, allowed: str) -> None:
        if not holds:
            raise InputError(f"{what}: {name} in config.json", stored.get(name), allowed)

    require(stored.get("model_type") == "llama", "model_type", "llama")
    require(stored.get("hidden_act", "silu") == "silu", "hidden_act", "silu")
    for name in ("attention_bias", "mlp_bias"):
        require(not stored.get(name, False), name, "false")
    require(
        isinstance(stored.get("tie_word_embeddings", False), bool), "tie_word_embeddings", "true or false"
    )
    require(_is_positive(stored.get("rms_norm_eps", 1e-6)), "rms_norm_eps", "a finite number > 0")
    for name in (
        "num_hidden_layers",
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_attention_heads",
    ):
        most = MOST_LAYERS if name == "num_hidden_layers" else LARGEST
        require(_is_count(stored.get(name), most), name, f"an integer >= 1 and <= {most}")
    for name in ("num_key_value_heads", "head_dim"):  # published files have null for the default
        allowed = f"an integer >= 1 and <= {LARGEST}"
        require(stored.get(name) is None or _is_count(stored[name], LARGEST), name, allowed)
    heads = stored["num_attention_heads"]
    keys = stored.get("num_key_value_heads") or heads
    require(heads % keys == 0, "num_key_value_heads", f"a divisor of {heads}, the number of heads")
    require(
        stored.get("head_dim") is not None or stored["hidden_size"] % heads == 0,
        "hidden_size",
        f"a multiple of {heads}, the number of heads, where there is no head_dim",
    )
    rope = _rope(stored, what)
    return Config(
        num_layers=stored["num_hidden_layers"],
        vocab_size=stored["vocab_size"],
        embed_dim=stored["hidden_size"],
        hidden_dim=stored["intermediate_size"],
        num_heads=heads,
        head_dim=stored.get("head_dim") or stored["hidden_size"] // heads,
        num_kv_heads=keys,
        norm_eps=stored.get("rms_norm_eps", 1e-6),
        weight_tying=stored.get("tie_word_embeddings", False),
        rope=rope,
    )


def _rope(stored: Mapping[str, Any], what: str) -> Rope:
    """Read the rotary embedding, as files before and after version 5 of `transformers` spell it."""
    scaling = stored.get("rope_parameters") or stored.get("rope_scaling") or {}
    if not isinstance(scaling, dict):
        raise InputError(f"{what}: rope_scaling in config.json", scaling, "an object")
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind not in ("default", "linear", "llama3"):
        raise InputError(f"{what}: rope_type in config.json", kind, "one of default, linear, llama3")

    def number(name: str, default: float) -> float:
        value = scaling.get(name, default)
        if not _is_positive(value):
            raise InputError(f"{what}: {name} in config.json", value, "a finite number > 0")
        return float(value)

    return Rope(
        base=number("rope_theta", stored.get("rope_theta", 10_000.0)),
        kind=kind,
        factor=number("factor", 1.0),
        low=number("low_freq_factor", 1.0),
        high=number("high_freq_factor", 4.0),
        original_length=int(number("original_max_position_embeddings", 8192)),
    )


def _is_count(value: Any, most: int) -> bool:
    return type(value) is int and 0 < value <= most


def _is_positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= sys.float_info.max
