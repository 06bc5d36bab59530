"""What the folders of a run hold: whether it is the same as before, and whether its models fit each other."""

import hashlib
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Vocabulary

from fpo_jax.errors import InputError
from fpo_jax.experiments.llm.model import Config
from fpo_jax.experiments.llm.prompts import digest, read_prompts
from fpo_jax.experiments.llm.settings import TrainSettings

LOADED = (".json", ".safetensors", ".model", ".jinja")
"""How names of files end that are read from a checkpoint: sizes, weights, tokenizer, chat template."""


def description(settings: TrainSettings) -> dict[str, Any]:
    """Return what a run's results rest on: its settings, and what its files hold."""
    folders = {name: getattr(settings, name) for name in ("model", "reward_model", "oracle")}
    digests = {path: _contents(Path(path)) for path in {*folders.values()} - {None}}
    held = {f"{name}_sha256": digests[path] for name, path in folders.items() if path is not None}
    prompts = Path(settings.prompts)
    read_prompts(prompts)
    return settings.as_dict() | {"prompts_sha256": digest(prompts)} | held


def _contents(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of those files of a checkpoint that may be loaded.

    Raises:
        InputError: when one cannot be read.
    """
    digests = []
    for path in sorted(path for path in folder.glob("*") if path.suffix in LOADED and path.is_file()):
        try:
            with path.open("rb") as file:
                digests.append((path.name, hashlib.file_digest(file, "sha256").hexdigest()))
        except OSError as error:
            allowed = f"whole: {path.name} cannot be read ({error.strerror})"
            raise InputError("checkpoint", folder, allowed) from error
    return hashlib.sha256(repr(digests).encode()).hexdigest()


def require_same_size(what: str, folder: Path | str, theirs: Config, ours: Config) -> None:
    """Raise an InputError where a model has another number of tokens than that whose text it is to read."""
    if theirs.vocab_size != ours.vocab_size:
        allowed = f"one with the model's {ours.vocab_size} tokens, not {theirs.vocab_size}"
        raise InputError(what, folder, allowed)


def require_same_tokens(folder: Path, model: Path, what: str) -> None:
    """Check that each of the model's tokens is the same one here, where both folders have a tokenizer.json.

    Raises:
        InputError: names the first that is not.
    """
    paths = [model / "tokenizer.json", folder / "tokenizer.json"]
    if not all(path.is_file() for path in paths):
        return
    try:
        ours, theirs = (Vocabulary.from_file(str(path)).get_vocab(with_added_tokens=True) for path in paths)
    except Exception as error:  # tokenizers raises nothing narrower
        allowed = f"one whose tokenizer can be read ({(str(error).splitlines() or ['?'])[0]})"
        raise InputError(what, folder, allowed) from error
    strange = sorted((number, token) for token, number in ours.items() if theirs.get(token) != number)
    if strange:
        number, token = strange[0]
        allowed = f"one with the model's tokenizer: token {number} is {token!r} there, and not here"
        raise InputError(what, folder, allowed)
