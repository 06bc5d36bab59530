"""Checkpoints in the usual Hugging Face layout: checked, and loaded."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree
from safetensors import SafetensorError, safe_open

from fpo_jax.engine.memory import tree_bytes, usable_bytes
from fpo_jax.errors import InputError
from fpo_jax.experiments.llm.config import NORMS, Config, block
from fpo_jax.experiments.llm.model import Net, weight_shapes
from fpo_jax.experiments.llm.model_folder import shards
from fpo_jax.experiments.llm.sizes import read_config
from fpo_jax.numerics.keys import named_key
from fpo_jax.types import Key

STORED = ("BF16", "F16", "F32", "F64")
"""Supported types of numbers."""
SCORE, BIAS = "score.weight", "score.bias"


class Head(NamedTuple):
    """A reward head as a checkpoint stores it.

    Attributes:
        weight: [d] scores final hidden states.
        bias: added to the score, or None.
    """

    weight: np.ndarray
    bias: float | None


def random_weights(config: Config, precision: Any, mesh: Mesh, key: Key) -> Net:
    """Return a model of these sizes with random weights: N(0, 0.02²), and 1 in norms."""
    require_room(config, precision, mesh, True, "these sizes", "model")
    shapes = weight_shapes(config, precision)

    def leaf(path: Any, shape: jax.ShapeDtypeStruct) -> jax.Array:
        name = jax.tree_util.keystr(path)
        if "norm" in name:
            return jnp.ones(shape.shape, precision)
        return 0.02 * jax.random.normal(named_key(key, name), shape.shape, precision)

    everywhere = NamedSharding(mesh, PartitionSpec())
    weights = jax.jit(lambda: jax.tree_util.tree_map_with_path(leaf, shapes), out_shardings=everywhere)()
    return Net(config, weights)


def tensors(folder: Path, what: str) -> dict[str, tuple[Path, tuple[int, ...]]]:
    """Return the file and shape of every tensor of a checkpoint, without reading it.

    Raises:
        InputError: when a file is cut short or not a safetensors file, or two files have a tensor of the same
            name.
    """
    found: dict[str, tuple[Path, tuple[int, ...]]] = {}
    for path in shards(folder, what):
        try:
            with safe_open(path, framework="numpy") as file:
                for name in [*file.keys()]:
                    if name in found:
                        raise InputError(what, folder, f"valid, but {name} is in two of its files")
                    found[name] = (path, tuple(file.get_slice(name).get_shape()))
        except (SafetensorError, OSError) as error:
            allowed = f"complete, but {path.name} is cut short or damaged ({error}); download it again"
            raise InputError(what, folder, allowed) from error
    return found


EMBED, NORM, LM_HEAD = "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"


def in_layer(index: int, name: str) -> str:
    """Return the name of a layer's tensor in a checkpoint."""
    inside = name if name in NORMS else f"{block(name)}.{name}"
    return f"model.layers.{index}.{inside}.weight"


def expected(config: Config) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor that a checkpoint of these sizes must have."""
    d = config.embed_dim
    layer: dict[str, tuple[int, ...]] = {name: shape[::-1] for name, shape in config.projections.items()}
    layer |= dict.fromkeys(NORMS, (d,))
    names: dict[str, tuple[int, ...]] = {EMBED: (config.vocab_size, d)}
    for i in range(config.num_layers):
        names |= {in_layer(i, name): shape for name, shape in layer.items()}
    names |= {NORM: (d,)}
    return names if config.weight_tying else names | {LM_HEAD: (config.vocab_size, d)}


def check(folder: Path, config: Config, what: str) -> dict[str, Any]:
    """Check that every tensor exists with its shape, and return the files of all of them.

    Raises:
        InputError: names the first that is missing or misshapen.
    """
    found, wanted = tensors(folder, what), expected(config)
    for name, shape in wanted.items():
        if name not in found:
            raise InputError(what, folder, f"complete, but {name} is in none of its files; download it again")
        if found[name][1] != shape:
            allowed = f"{list(shape)}, as in its config.json, not {list(found[name][1])}"
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
        InputError: says how much memory they take.
    """
    size, devices = tree_bytes(weight_shapes(config, precision)), list(mesh.devices.flat)
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
        mesh: with the axis fsdp.
        replicate: whether every device has all weights; otherwise each matrix is divided along the model's
            width.
        what: the option that named it, for error messages.
        trunk_only: whether hidden states suffice, so that lm_head is not loaded.

    Raises:
        InputError: when it is not complete.
    """
    config = read_config(folder, what)
    if trunk_only:
        config = dataclasses.replace(config, weight_tying=True)
    found = check(folder, config, what)
    require_room(config, precision, mesh, replicate, folder, what)
    return Net(config, _loaded(config, found, jnp.dtype(precision), _placement(config, mesh, replicate)))


def _loaded(
    config: Config, found: Mapping[str, tuple[Path, tuple[int, ...]]], dtype: Any, places: PyTree
) -> PyTree:
    """Read the weights of a model, one array after another, and place them.

    A checkpoint has matrices as [out of, into].
    """

    def stored(name: str) -> np.ndarray:
        return np.asarray(_tensor(found[name][0], name).astype(dtype))

    def layers(name: str) -> np.ndarray:
        return np.stack([stored(in_layer(i, name)).T for i in range(config.num_layers)])

    weights = {
        "embed": jax.device_put(stored(EMBED), places["embed"]),
        "layers": {
            name: jax.device_put(layers(name), places["layers"][name])
            for name in (*config.projections, *NORMS)
        },
        "norm": jax.device_put(stored(NORM), places["norm"]),
    }
    if not config.weight_tying:
        weights["lm_head"] = jax.device_put(np.ascontiguousarray(stored(LM_HEAD).T), places["lm_head"])
    return weights


def _placement(config: Config, mesh: Mesh, replicate: bool) -> PyTree:
    """Return the sharding of each array: replicated, or divided along the axis of the model's width."""

    def place(path: Any, shape: jax.ShapeDtypeStruct) -> NamedSharding:
        name = path[-1].key
        axis = {"lm_head": 0, "o_proj": 2, "down_proj": 2}.get(name, 1)
        whole = replicate or "norm" in name
        return NamedSharding(mesh, PartitionSpec() if whole else PartitionSpec(*[None] * axis, "fsdp"))

    return jax.tree_util.tree_map_with_path(place, weight_shapes(config))


def head(folder: Path, config: Config, what: str) -> Head | None:
    """Return the reward head of a checkpoint, or None if it has none.

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
        bias = float(_tensor(found[BIAS][0], BIAS).astype(jnp.float32).ravel()[0])
    return Head(np.asarray(_tensor(path, SCORE).astype(jnp.float32))[0], bias)


def _tensor(path: Path, name: str) -> jax.Array:
    with safe_open(path, framework="flax") as file:  # NumPy has no bfloat16
        return file.get_tensor(name)


def _by_file(found: Mapping[str, tuple[Path, tuple[int, ...]]]) -> dict[Path, list[str]]:
    """Return the names of tensors by their file."""
    names: dict[Path, list[str]] = {}
    for name, (path, _) in found.items():
        names.setdefault(path, []).append(name)
    return names
