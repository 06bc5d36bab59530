"""Checkpoints in the usual Hugging Face layout: checked before they are loaded, and loaded by tunix."""

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from safetensors import SafetensorError, safe_open
from tunix.models import safetensors_loader
from tunix.models.llama3 import params as tunix_params

from fpo_jax.engine.memory import usable_bytes
from fpo_jax.errors import InputError
from fpo_jax.experiments.llm.model import Config, Llama, Net, plain_graph
from fpo_jax.experiments.llm.model_folder import shards, weights_view
from fpo_jax.experiments.llm.sizes import read_config
from fpo_jax.numerics.keys import named_key
from fpo_jax.types import Key

STORED = ("BF16", "F16", "F32", "F64")
"""Types of numbers that are read."""
SCORE, BIAS = "score.weight", "score.bias"


class Head(NamedTuple):
    """A reward head as a checkpoint stores it.

    Attributes:
        weight: [d] by which final hidden states are scored.
        bias: added to the score, or None where there is none.
    """

    weight: np.ndarray
    bias: float | None


def random_weights(config: Config, precision: Any, mesh: Mesh, key: Key) -> Net:
    """Return a model of these sizes with weights that were drawn: N(0, 0.02²), and 1 in norms."""
    require_room(config, precision, mesh, True, "these sizes", "model")
    graph, shapes = plain_graph(config)

    def leaf(path: Any, shape: jax.ShapeDtypeStruct) -> jax.Array:
        if len(shape.shape) == 1:
            return jnp.ones(shape.shape, precision)
        return 0.02 * jax.random.normal(named_key(key, jax.tree_util.keystr(path)), shape.shape, precision)

    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    weights = jax.jit(lambda: jax.tree_util.tree_map_with_path(leaf, shapes), out_shardings=everywhere)()
    return Net(graph, config, weights)


def tensors(folder: Path, what: str) -> dict[str, tuple[Path, tuple[int, ...]]]:
    """Return where every tensor of a checkpoint stands, and its shape, without reading it.

    Raises:
        InputError: when a file is cut short or no safetensors file, or two hold a tensor of one name.
    """
    found: dict[str, tuple[Path, tuple[int, ...]]] = {}
    for path in shards(folder, what):
        try:
            with safe_open(path, framework="numpy") as file:
                for name in [*file.keys()]:
                    if name in found:
                        raise InputError(what, folder, f"whole: {name} is in two of its files")
                    found[name] = (path, tuple(file.get_slice(name).get_shape()))
        except (SafetensorError, OSError) as error:
            allowed = f"whole: {path.name} is cut short or damaged ({error}); download it again"
            raise InputError(what, folder, allowed) from error
    return found


def expected(config: Config) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor that a checkpoint of these sizes must hold."""
    d, width = config.embed_dim, config.hidden_dim
    queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    layer = {
        "self_attn.q_proj": (queries, d),
        "self_attn.k_proj": (keys, d),
        "self_attn.v_proj": (keys, d),
        "self_attn.o_proj": (d, queries),
        "mlp.gate_proj": (width, d),
        "mlp.up_proj": (width, d),
        "mlp.down_proj": (d, width),
        "input_layernorm": (d,),
        "post_attention_layernorm": (d,),
    }
    names: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config.vocab_size, d)}
    for i in range(config.num_layers):
        names |= {f"model.layers.{i}.{name}.weight": shape for name, shape in layer.items()}
    names |= {"model.norm.weight": (d,)}
    return names if config.weight_tying else names | {"lm_head.weight": (config.vocab_size, d)}


def check(folder: Path, config: Config, what: str, trunk_only: bool = False) -> dict[str, Any]:
    """Check that every tensor is there in its shape, and return where all of them stand.

    Raises:
        InputError: names the first that is missing or misshapen.
    """
    found, wanted = tensors(folder, what), expected(config)
    for name, shape in wanted.items():
        if trunk_only and name == "lm_head.weight":
            continue
        if name not in found:
            raise InputError(what, folder, f"whole: {name} is in none of its files; download it again")
        if found[name][1] != shape:
            allowed = f"{list(shape)}, as its config.json says, and not {list(found[name][1])}"
            raise InputError(f"{what}: shape of {name}", folder, allowed)
    for path, names in _by_file(found).items():
        with safe_open(path, framework="numpy") as file:
            for name in names:
                kind = file.get_slice(name).get_dtype()
                if name in wanted and kind not in STORED:
                    raise InputError(f"{what}: type of {name}", kind, f"one of {', '.join(STORED)}")
    return found


def require_room(
    config: Config, precision: Any, mesh: Mesh, replicate: bool, folder: Path | str, what: str
) -> None:
    """Check that weights of these sizes fit into memory, before any is made.

    Raises:
        InputError: says how much they take.
    """
    numbers = sum(math.prod(shape) for shape in expected(config).values())
    size, devices = numbers * jnp.dtype(precision).itemsize, list(mesh.devices.flat)
    taken, room = size * (len(devices) if replicate else 1), usable_bytes(devices)
    if taken > room:
        where = f"on {len(devices)} devices" if len(devices) > 1 else "in memory"
        allowed = (
            f"smaller: its weights take {taken / 1e9:.3g} GB {where}, and {room / 1e9:.3g} GB can be used"
        )
        raise InputError(what, folder, allowed)


def load(
    folder: Path, precision: Any, mesh: Mesh, replicate: bool, what: str, trunk_only: bool = False
) -> Net:
    """Load a checkpoint, placed on a mesh.

    Args:
        folder: a checkpoint in the Hugging Face layout.
        precision: dtype of its weights here.
        mesh: with the axes fsdp and tp.
        replicate: all weights on every device, or divided among them as tunix says.
        what: the option that named it, for complaints.
        trunk_only: whether hidden states suffice, so that there need be no lm_head.

    Raises:
        InputError: when it is not whole.
    """
    config = read_config(folder, what)
    found = check(folder, config, what, trunk_only)
    if trunk_only and "lm_head.weight" not in found and not config.weight_tying:
        config = _without_lm_head(config)
    require_room(config, precision, mesh, replicate, folder, what)
    # tunix loads all weight files of a folder, whatever its index names
    with _quiet(), weights_view(shards(folder, what)) as view:
        module = safetensors_loader.load_and_create_model(
            str(view),
            Llama,
            config,
            tunix_params._get_key_and_transform_mapping,
            mesh=None if replicate else mesh,
            dtype=precision,
            mode="optimized" if _uniform(found) else "original",
        )
    graph, _ = plain_graph(config)
    weights = nnx.state(module)
    if replicate:
        weights = jax.device_put(weights, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))
    return Net(graph, config, weights)


def head(folder: Path, config: Config, what: str) -> Head | None:
    """Return the reward head of a checkpoint, or None where it has none.

    Raises:
        InputError: when it gives more than one score.
    """
    found = tensors(folder, what)
    if SCORE not in found:
        return None
    path, shape = found[SCORE]
    if shape != (1, config.embed_dim):
        raise InputError(f"{what}: shape of {SCORE}", folder, f"[1, {config.embed_dim}], not {list(shape)}")
    bias = None
    if BIAS in found:
        bias = float(_read(found[BIAS][0], BIAS).astype(np.float32).ravel()[0])
    return Head(_read(path, SCORE).astype(np.float32)[0], bias)


def _read(path: Path, name: str) -> np.ndarray:
    with safe_open(path, framework="flax") as file:
        return np.asarray(file.get_tensor(name).astype(jnp.float32))


def _without_lm_head(config: Config) -> Config:
    """Return sizes under which no lm_head is made: nobody asks for logits."""
    return Config(**{**vars(config), "weight_tying": True})


def _uniform(found: Mapping[str, tuple[Path, tuple[int, ...]]]) -> bool:
    """Say whether each file holds tensors of one dtype, which tunix's quick loader takes for granted."""
    for path, names in _by_file(found).items():
        with safe_open(path, framework="numpy") as file:
            if len({file.get_slice(name).get_dtype() for name in names}) > 1:
                return False
    return True


def _by_file(found: Mapping[str, tuple[Path, tuple[int, ...]]]) -> dict[Path, list[str]]:
    """Return the names of tensors by the file in which they stand."""
    names: dict[Path, list[str]] = {}
    for name, (path, _) in found.items():
        names.setdefault(path, []).append(name)
    return names


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what tunix warns of while it loads: tensors that we read ourselves."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
