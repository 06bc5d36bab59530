"""GGUF files of Llama models, read with the package `gguf`, and checked, since they are not trusted."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gguf import GGUFReader, dequantize

from fpo_jax.errors import InputError, shortened
from fpo_jax.experiments.llm.config import Rope

MOST_READS = 2**24
"""Maximum numbers and texts in a header; that of Llama 3 has about a million."""
ROPE_FACTORS = "rope_freqs.weight"
LLAMA3 = tuple(Rope(kind="llama3", factor=factor) for factor in (8.0, 32.0))
"""Rotary embeddings that a GGUF file stores only as factors: those of Llama 3.1 and 3.2."""
LAYER = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
AROUND = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
"""Names of tensors in a GGUF file, and in the Hugging Face layout."""


class Gguf(NamedTuple):
    """A GGUF file.

    Attributes:
        path: where it is.
        fields: its header.
        tensors: its tensors by their names, as `gguf` maps them into memory.
    """

    path: Path
    fields: dict[str, Any]
    tensors: dict[str, Any]


class _Bounded(GGUFReader):
    """Reads nothing beyond the end of the file, where `gguf` finds empty arrays, and always ends."""

    reads = 0

    def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
        found, self.reads = super()._get(offset, dtype, count, override_order), self.reads + 1
        if len(found) < int(count):
            raise ValueError("it ends too early")
        if self.reads > MOST_READS:
            raise ValueError(f"its header has more than {MOST_READS} entries")
        return found


@contextlib.contextmanager
def whole(path: Path, what: str) -> Iterator[None]:
    """Turn errors of libraries about a GGUF file into one line.

    Raises:
        InputError: for any exception of a library, except those of the disk and the user.
    """
    try:
        yield
    except (InputError, MemoryError, OSError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # `tokenizers` can panic, which is not a Python exception
        reason = shortened((str(error).splitlines() or [type(error).__name__])[0], 120)
        allowed = f"a complete GGUF file, but it is cut short or damaged ({reason}); download it again"
        raise InputError(what, path, allowed) from error


def read(path: Path, what: str) -> Gguf:
    """Read the header of a GGUF file; tensors are mapped, not read.

    Raises:
        InputError: when it is not a GGUF file, cut short or damaged, or not a Llama.
    """
    if not path.is_file():
        raise InputError(what, path, "a folder with a checkpoint, or a GGUF file, but nothing has this name")
    with whole(path, what):
        reader = _Bounded(str(path))
        fields = {name: field.contents() for name, field in reader.fields.items()}
        tensors = {tensor.name: tensor for tensor in reader.tensors}
    architecture = fields.get("general.architecture")
    if architecture != "llama":
        raise InputError(f"{what}: general.architecture of {path.name}", architecture, "llama")
    return Gguf(path, fields, tensors)


def config_of(file: Gguf, what: str) -> dict[str, Any]:
    """Return the config.json of such a model; its reader checks it.

    Raises:
        InputError: when heads are rotated only in part, or by other factors than those of Llama 3.
    """
    heads, width = _told(file, "attention.head_count"), _told(file, "embedding_length")
    known = isinstance(heads, int) and isinstance(width, int) and heads > 0
    size = _told(
        file, "attention.key_length", width // heads if known else _told(file, "rope.dimension_count")
    )
    for name in ("rope.dimension_count", "attention.value_length"):
        if _told(file, name, size) != size:
            raise InputError(f"{what}: llama.{name} of {file.path.name}", _told(file, name), str(size))
    embeddings = file.tensors.get("token_embd.weight")
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": None if embeddings is None else int(embeddings.shape[-1]),
        "hidden_size": width,
        "intermediate_size": _told(file, "feed_forward_length"),
        "num_hidden_layers": _told(file, "block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _told(file, "attention.head_count_kv", heads),
        "head_dim": size,
        "max_position_embeddings": _told(file, "context_length"),
        "rms_norm_eps": _told(file, "attention.layer_norm_rms_epsilon"),
        "rope_parameters": _rope(file, size, what),
        "tie_word_embeddings": "output.weight" not in file.tensors,
    }
    ids = {name: file.fields.get(f"tokenizer.ggml.{name}") for name in ("bos_token_id", "eos_token_id")}
    return config | {name: number for name, number in ids.items() if number is not None}


def _told(file: Gguf, name: str, otherwise: Any = None) -> Any:
    """Return a value of the header; a float32 number becomes its shortest decimal, such as 1e-5."""
    value = file.fields.get(f"llama.{name}", otherwise)
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _rope(file: Gguf, size: Any, what: str) -> dict[str, Any]:
    """Return the rotary embedding; a file of Llama 3 has factors that divide its frequencies."""
    base, kind = _told(file, "rope.freq_base", 10_000.0), _told(file, "rope.scaling.type", "none")
    if ROPE_FACTORS in file.tensors and isinstance(size, int) and isinstance(base, float):
        with whole(file.path, what):
            stored = dequantize(file.tensors[ROPE_FACTORS].data, file.tensors[ROPE_FACTORS].tensor_type)
        for rope in LLAMA3:
            factors = Rope(base).frequencies(size) / dataclasses.replace(rope, base=base).frequencies(size)
            if stored.shape == factors.shape and np.allclose(stored, factors, rtol=1e-3):
                return {
                    "rope_type": "llama3",
                    "rope_theta": base,
                    "factor": rope.factor,
                    "low_freq_factor": rope.low,
                    "high_freq_factor": rope.high,
                    "original_max_position_embeddings": rope.original_length,
                }
        raise InputError(f"{what}: {ROPE_FACTORS}", file.path, "those of Llama 3.1 or 3.2, or none")
    scaled = {"rope_type": kind, "factor": _told(file, "rope.scaling.factor", 1.0)}
    return {"rope_theta": base} | ({"rope_type": "default"} if kind == "none" else scaled)


def stored_names(file: Gguf, layers: int, what: str) -> dict[str, str]:
    """Return the name of every tensor in the Hugging Face layout, and its name in this file.

    Raises:
        InputError: names a tensor that a Llama does not have, and that would change its results.
    """
    known = AROUND | {
        f"blk.{i}.{name}.weight": f"model.layers.{i}.{theirs}.weight"
        for i in range(layers)
        for name, theirs in LAYER.items()
    }
    strange = sorted(file.tensors.keys() - known.keys() - {ROPE_FACTORS})
    if strange:
        raise InputError(what, file.path, f"a Llama without extra tensors, but it has {strange[0]!r}")
    return {theirs: name for name, theirs in known.items() if name in file.tensors}


def numbers(file: Gguf, name: str, what: str) -> np.ndarray:
    """Return a tensor in float32, rows of queries and keys in the order of the Hugging Face layout.

    GGUF interleaves the two halves of a head that are rotated together: [heads, d/2, 2] in GGUF, [heads, 2,
    d/2] in the Hugging Face layout.

    Raises:
        InputError: when its type of numbers is not supported.
    """
    tensor = file.tensors[name]
    try:
        with whole(file.path, what):
            found = np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float32)
    except InputError as error:
        if not isinstance(error.__cause__, NotImplementedError):
            raise
        field, kind = f"{what}: type of {name} in {file.path.name}", tensor.tensor_type.name
        allowed = "a supported type, such as F32, F16, BF16, Q8_0 or Q4_1"
        raise InputError(field, kind, allowed) from error
    heads = {"attn_q": "attention.head_count", "attn_k": "attention.head_count_kv"}.get(name.split(".")[-2])
    if heads is None:
        return np.ascontiguousarray(found)
    rows = _told(file, heads, _told(file, "attention.head_count"))
    with whole(file.path, what):
        return found.reshape(rows, -1, 2, found.shape[-1]).swapaxes(1, 2).reshape(found.shape)
