"""Convert a GGUF file into a checkpoint in the usual Hugging Face layout, once, in float32."""

import functools
import hashlib
import json
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import platformdirs
from safetensors import SafetensorError
from safetensors.numpy import save_file

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.files import write_json
from fpo_jax.experiments.core.result_folder import replacing
from fpo_jax.experiments.llm.checkpoint import expected
from fpo_jax.experiments.llm.config import Config
from fpo_jax.experiments.llm.gguf_file import Gguf, config_of, numbers, read, stored_names
from fpo_jax.experiments.llm.gguf_tokenizer import write_tokenizer
from fpo_jax.experiments.llm.model_folder import INDEX, WEIGHTS
from fpo_jax.experiments.llm.sizes import read_config

SHARD = 2**30
"""A file of weights is full from this many bytes, so that a large model is never in memory all at once."""
SPARE = 2**26
"""Bytes to leave free on a disk, for the tokenizer and for others."""


def models_folder() -> Path:
    """Return the folder of fetched and converted models, in the user's cache."""
    return platformdirs.user_cache_path("fpo-jax") / "models"


def converted(path: Path, what: str) -> Path:
    """Return the checkpoint for a GGUF file, by its contents; convert the file if there is none.

    Raises:
        InputError: as `convert`.
    """
    if not path.is_file():
        raise InputError(what, path, "a folder with a checkpoint, or a GGUF file, but nothing has this name")
    try:
        told = path.stat()
        digest = _digest(path.absolute(), told.st_mtime_ns, told.st_size)
    except OSError as error:
        raise InputError(what, path, f"a file that can be read ({error.strerror})") from error
    name = re.sub(r"[^\w.-]", "_", path.stem)[:60]
    folder = models_folder() / f"{name}-{digest[:16]}"
    if not (folder / "config.json").is_file():
        convert(path, folder, what)
    return folder


@functools.cache
def _digest(path: Path, changed: int, size: int) -> str:
    """Return the SHA-256 of a file, cached while its time and size stay the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def convert(path: Path, out: Path, what: str) -> None:
    """Write the checkpoint of a GGUF file in float32; a failure leaves nothing behind.

    Raises:
        InputError: when the file is not a supported Llama, is cut short or damaged, has numbers or a
            tokenizer that cannot be read, or the disk is too small.
    """
    file = read(path, what)
    stored = config_of(file, what)
    require_disk(out, 4 * sum(int(tensor.n_elements) for tensor in file.tensors.values()), what, path)
    try:
        with replacing(out) as folder:
            write_json(folder / "config.json", stored)
            config = read_config(folder, f"{what} {path.name}")
            names = _require_tensors(file, config, what)
            write_tokenizer(file, folder, what)
            _write_ends(file, folder)
            _write_weights(file, names, folder, what)
    except SafetensorError as error:  # what safetensors makes of a full disk
        raise InputError(what, path, f"small enough for the disk ({error})") from error


def require_disk(out: Path, needed: int, what: str, path: Path | str) -> None:
    """Raise an InputError if a folder's disk has no room for this many bytes."""
    home = next(folder for folder in out.absolute().parents if folder.exists())
    free = shutil.disk_usage(home).free
    if needed + SPARE > free:
        allowed = (
            f"smaller: it takes {needed / 1e9:.3g} GB in {out.parent}, where {free / 1e9:.3g} GB are free; "
            "XDG_CACHE_HOME names another disk"
        )
        raise InputError(what, path, allowed)


def _require_tensors(file: Gguf, config: Config, what: str) -> dict[str, str]:
    """Return the names of tensors there and here, if all that a model of these sizes has are in the file."""
    names = stored_names(file, config.num_layers, what)
    for name, shape in expected(config).items():
        if name not in names:
            raise InputError(what, file.path, f"complete, but it lacks {name}; download it again")
        theirs = tuple(int(size) for size in reversed(file.tensors[names[name]].shape))
        if theirs != shape:
            field = f"{what}: shape of {names[name]} in {file.path.name}"
            raise InputError(field, list(theirs), f"{list(shape)}, as its header says")
    return names


def _write_ends(file: Gguf, folder: Path) -> None:
    """Write which tokens end a response: the end of a text, and that of a turn."""
    told = [file.fields.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot")]
    ends = [number for number in dict.fromkeys(told) if number is not None]
    if ends:
        write_json(folder / "generation_config.json", {"eos_token_id": ends})


def _write_weights(file: Gguf, names: dict[str, str], folder: Path, what: str) -> None:
    """Write the weights: one file where they fit, else several and an index."""
    written: dict[str, list[str]] = {}
    for number, tensors in enumerate(_shards(file, names, what), 1):
        name = f"model-{number:05d}.safetensors"
        save_file(tensors, folder / name, metadata={"format": "pt"})
        written[name] = [*tensors]
    if len(written) == 1:
        (folder / name).rename(folder / WEIGHTS)
        return
    where = {tensor: name for name, tensors in written.items() for tensor in tensors}
    (folder / INDEX).write_text(json.dumps({"weight_map": where}), encoding="utf-8")


def _shards(file: Gguf, names: dict[str, str], what: str) -> Iterator[dict[str, np.ndarray]]:
    held: dict[str, np.ndarray] = {}
    for name, theirs in names.items():
        held[name] = numbers(file, theirs, what)
        if sum(4 * math.prod(tensor.shape) for tensor in held.values()) >= SHARD:
            yield held
            held = {}
    if held:
        yield held
