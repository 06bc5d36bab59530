"""Adapters on disk in PEFT's layout: `adapter_config.json` and `adapter_model.safetensors`."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.files import write_json
from fpo_jax.experiments.llm.config import Config, block
from fpo_jax.experiments.llm.model import Lora, adapter_shapes
from fpo_jax.experiments.llm.model_folder import inside, read_json
from fpo_jax.experiments.llm.settings import LORA_MODULES

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MOST_RANK, MOST_ALPHA = 2**16, 1e30


def _name(module: str, layer: int, kind: str) -> str:
    return f"base_model.model.model.layers.{layer}.{block(module)}.{module}.lora_{kind.upper()}.weight"


def save(folder: Path, adapter: PyTree, config: Config, lora: Lora, base: str) -> None:
    """Write an adapter, which `peft.PeftModel.from_pretrained` reads, too."""
    folder.mkdir(parents=True, exist_ok=True)
    named = {
        _name(module, layer, kind): np.ascontiguousarray(np.asarray(stacked[layer], np.float32).T)
        for module, matrices in adapter.items()
        for kind, stacked in matrices.items()
        for layer in range(config.num_layers)
    }
    save_file(named, folder / WEIGHTS, metadata={"format": "pt"})
    stored = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": list(lora.modules),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    write_json(folder / CONFIG, stored)


def load(folder: Path, config: Config) -> tuple[PyTree, Lora]:
    """Read an adapter for a model of these sizes.

    Raises:
        InputError: when it is missing, damaged, of another kind, or made for another model.
    """
    if not folder.is_dir():
        raise InputError("adapter", folder, f"a folder with {CONFIG} and {WEIGHTS}")
    stored = read_json(folder, CONFIG, "adapter")
    modules = stored.get("target_modules")
    plain = stored.get("peft_type") == "LORA" and not stored.get("use_dora") and not stored.get("use_rslora")
    if not plain or not isinstance(modules, list) or not all(name in LORA_MODULES for name in modules):
        allowed = f"LoRA on some of {', '.join(LORA_MODULES)}, according to its {CONFIG}"
        raise InputError("adapter", folder, allowed)
    for name in ("rank_pattern", "alpha_pattern"):
        if stored.get(name):
            raise InputError(
                f"adapter: {name} in {CONFIG}", stored[name], "empty: one rank for all projections"
            )
    if stored.get("bias", "none") != "none":
        raise InputError(f"adapter: bias in {CONFIG}", stored["bias"], "none")
    rank, alpha = stored.get("r"), stored.get("lora_alpha")
    if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= MOST_RANK:
        raise InputError(f"adapter: r in {CONFIG}", rank, f"an integer >= 1 and <= {MOST_RANK}")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not 0 <= alpha <= MOST_ALPHA:
        raise InputError(f"adapter: lora_alpha in {CONFIG}", alpha, "a finite number >= 0")
    ordered = tuple(name for name in LORA_MODULES if name in modules)
    lora = Lora(rank, float(alpha), ordered)
    try:
        with safe_open(inside(folder, WEIGHTS, "adapter"), framework="flax") as file:  # NumPy has no bfloat16
            stored = {name: np.asarray(file.get_tensor(name), np.float32) for name in [*file.keys()]}
    except (OSError, SafetensorError) as error:
        allowed = f"one whose {WEIGHTS} can be read ({str(error).splitlines()[0]})"
        raise InputError("adapter", folder, allowed) from error

    def matrices(module: str, kind: str, shape: tuple[int, ...]) -> np.ndarray:
        return np.stack([matrix(_name(module, layer, kind), shape) for layer in range(config.num_layers)])

    def matrix(name: str, shape: tuple[int, ...]) -> np.ndarray:
        found = stored.pop(name, None)
        if found is None or found.T.shape != shape:
            has = "nothing" if found is None else f"shape {list(found.shape)}"
            allowed = f"made for this model, but {name} has {has}, not {list(shape)[::-1]}"
            raise InputError("adapter", folder, allowed)
        return found.T

    adapter = {
        module: {kind: jnp.asarray(matrices(module, kind, leaf.shape[1:])) for kind, leaf in shapes.items()}
        for module, shapes in adapter_shapes(config, lora).items()
    }
    if stored:
        raise InputError("adapter", folder, f"made for this model, but the model has no {min(stored)}")
    return adapter, lora
