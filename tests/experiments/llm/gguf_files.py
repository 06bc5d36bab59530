"""GGUF files, written from a checkpoint in the Hugging Face layout as llama.cpp's converter lays them out."""

import json

import gguf
import numpy as np
from safetensors.numpy import load_file

from tests.experiments.llm.conftest import TEMPLATE

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
KINDS = {"attn_q": "F16", "attn_k": "BF16", "ffn_gate": "Q8_0", "ffn_down": "Q4_1"}
"""Types of numbers of some tensors; the others are in F32."""


def tensors_of(folder):
    """Tensors by their names in a GGUF file; there, rotated halves of a head take turns."""
    found = {}
    for name, values in load_file(folder / "model.safetensors").items():
        parts = name.removeprefix("model.").removesuffix(".weight").split(".", 2)
        if parts[0] != "layers":
            found[{"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output"}[parts[0]]] = (
                values
            )
            continue
        short = NAMES[parts[2]]
        if short in ("attn_q", "attn_k"):
            heads = {"attn_q": 4, "attn_k": 2}[short]
            turns = [half + 8 * part for half in range(8) for part in range(2)]  # 0, 8, 1, 9 … of 16
            values = values.reshape(heads, 16, 64)[:, turns].reshape(values.shape)
        found[f"blk.{parts[1]}.{short}"] = values
    return {f"{name}.weight": values for name, values in found.items()}


def header_of(folder):
    """What the header says of sizes and tokenizer."""
    config, inner = (
        json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("config", "tokenizer")
    )
    tokens = sorted(inner["model"]["vocab"], key=inner["model"]["vocab"].get)
    special = {token["content"] for token in inner["added_tokens"]}
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in inner["model"]["merges"]]
    return {
        "llama.block_count": 2,
        "llama.vocab_size": 512,  # of which the tokenizer leaves 12 unused
        "llama.context_length": 2048,
        "llama.embedding_length": 64,
        "llama.feed_forward_length": 160,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": 16,
        "llama.rope.freq_base": float(config["rope_parameters"]["rope_theta"]),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if token in special else 1 for token in tokens],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": config["bos_token_id"],
        "tokenizer.ggml.eos_token_id": config["eos_token_id"],
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": TEMPLATE,
    }


def write(path, tensors, header, kinds=(), architecture="llama"):
    """Write a file; values of None are left out of its header."""
    writer = gguf.GGUFWriter(path, architecture)
    for name, value in header.items():
        if isinstance(value, list):
            writer.add_array(name, value)
        elif value is not None:
            {
                bool: writer.add_bool,
                str: writer.add_string,
                int: writer.add_uint32,
                float: writer.add_float32,
            }[type(value)](name, value)
    for name, values in tensors.items():
        kind = gguf.GGMLQuantizationType[dict(kinds).get(name.split(".")[-2], "F32")]
        if kind == gguf.GGMLQuantizationType.F32:
            writer.add_tensor(name, np.asarray(values))
        else:
            writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
