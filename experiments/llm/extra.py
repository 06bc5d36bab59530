"""The extra `llm`: whether it is installed, and the exceptions of its runs. Imports nothing of it."""

import importlib.util

from fpo_jax.experiments.core.wording import EXTRA

PACKAGES = ("transformers", "tokenizers", "safetensors", "gguf")


class MissingExtra(RuntimeError):
    """The extra is not installed."""


class Interrupted(Exception):
    """The user interrupted a run; the message is the command to resume it."""


def require_extra() -> None:
    """Raise MissingExtra unless the packages of the extra are installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f"needs {EXTRA} ({', '.join(missing)} not found)")
