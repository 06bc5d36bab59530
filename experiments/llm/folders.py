"""The folders of a run: whether they are unchanged, and whether its models fit each other."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Vocabulary

from fpo_jax.errors import InputError
from fpo_jax.experiments.llm.config import Config
from fpo_jax.experiments.llm.located import located
from fpo_jax.experiments.llm.model_folder import digest, has, tokenizer_view
from fpo_jax.experiments.llm.prompts import file_digest, prompt_file, read_prompts, readable
from fpo_jax.experiments.llm.settings import TrainSettings


def description(settings: TrainSettings) -> dict[str, Any]:
    """Return what a run's results depend on: its settings, and the contents of its files."""
    model = settings.model if settings.random else str(located(settings.model))
    folders = {"model": model, **settings.readers}
    asked = {path: what for what, path in folders.items()}  # one folder may have several roles
    digests = {path: digest(Path(path), what) for path, what in asked.items()}
    held = {f"{name}_sha256": digests[path] for name, path in folders.items()}
    prompts = prompt_file(settings.prompts)
    read_prompts(prompts)
    return settings.as_dict() | {"prompts_sha256": file_digest(prompts)} | held


def require_same_size(what: str, folder: Path | str, theirs: Config, ours: Config) -> None:
    """Raise an InputError if a model has another number of tokens than the model whose text it reads."""
    if theirs.vocab_size != ours.vocab_size:
        allowed = f"one with the model's {ours.vocab_size} tokens, not {theirs.vocab_size}"
        raise InputError(what, folder, allowed)


def require_same_tokens(folder: Path, model: Path, what: str) -> None:
    """Check that both models have the same tokens, if both folders have a tokenizer.json.

    Raises:
        InputError: names the first that differs.
    """
    name = "tokenizer.json"
    if not (has(model, name, "model") and has(folder, name, what)):
        return
    with tokenizer_view(model, "model") as one, tokenizer_view(folder, what) as other, readable(folder, what):
        files = [str(view / name) for view in (one, other)]
        ours, theirs = (Vocabulary.from_file(file).get_vocab(with_added_tokens=True) for file in files)
    strange = sorted((number, token) for token, number in ours.items() if theirs.get(token) != number)
    if strange:
        number, token = strange[0]
        allowed = f"one with the model's tokenizer, but token {number} is {token!r} there and not here"
        raise InputError(what, folder, allowed)
