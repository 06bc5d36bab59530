"""The pipeline at real size: iterative RLHF and FPO with a language model, on tunix's Llama.

It needs the extra `llm`, which is imported only when one of these functions is called.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fpo_jax.experiments.core.wording import EXTRA
from fpo_jax.experiments.llm.settings import AnswerSettings, Settings

PACKAGES = ("tunix", "qwix", "transformers", "tokenizers", "safetensors")


class MissingExtra(RuntimeError):
    """The extra is not installed."""


class Interrupted(Exception):
    """The user interrupted a run; the message is the command that goes on with it."""


def require_extra() -> None:
    """Raise MissingExtra unless the packages of the extra are there."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f"needs {EXTRA} ({', '.join(missing)} not found)")


def train(settings: Settings, out: Path | None, resume: bool = False) -> dict[str, Any]:
    """Run the pipeline, write its results to a folder if one is given, and return what sums them up."""
    require_extra()
    from fpo_jax.experiments.llm import running

    return running.train(settings, out, resume)


def plan(settings: Settings, say: Callable[[str], object] = print) -> dict[str, Any]:
    """Say what a step costs and needs, by shapes alone, and return it."""
    require_extra()
    from fpo_jax.experiments.llm import dry_run

    return dry_run.plan(settings, say)


def answer(settings: AnswerSettings, out: Path) -> int:
    """Answer prompts, write the answers to a JSONL file, and return how many they are."""
    require_extra()
    from fpo_jax.experiments.llm import answering

    return answering.answer(settings, out)
