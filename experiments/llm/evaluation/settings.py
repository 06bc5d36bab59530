"""Settings of an evaluation, checked before anything is loaded. Needs no extra."""

import dataclasses

from fpo_jax.errors import InputError
from fpo_jax.experiments.llm.settings import INCLUDED, Generation
from fpo_jax.hyperparameters import choice, count, several, text

QUESTIONS = "questions"
"""What stands for the questions of TruthfulQA, in place of a file of prompts."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateSettings(Generation):
    """Resolved settings of an evaluation of a base model and of policies trained from it."""

    runs: tuple[str, ...] = several(
        (), "folders of `fpo-jax llm`, or of adapters, to measure in addition to the base model"
    )
    truthfulqa: str | None = text(
        None,
        "TruthfulQA's public CSV file, for MC1 and MC2; without it they are not measured",
        naming="a file",
    )
    questions: int = count(200, "number of TruthfulQA's questions to use, drawn with the seed")
    prompts: str = text(
        INCLUDED,
        'JSONL file of prompts to answer, one {"prompt": "…"} a line, or included, or questions: those of '
        "--truthfulqa; prompts that a run was trained on are excluded",
        naming="a file, included or questions",
    )
    unseen: int = count(100, "number of the remaining prompts to use, drawn with the seed")
    drawn: int = count(
        4, "answers to draw from each model for each prompt, at temperature 1, for the KL divergence"
    )
    candidates: int = count(
        8,
        "answers to draw from the base model for each prompt, as a run draws candidates, for U against "
        "repetition",
        low=3,
    )
    precision: str = choice(
        "float32", "precision of frozen weights; adapters are in float32", ("bfloat16", "float32")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompts == QUESTIONS and self.truthfulqa is None:
            raise InputError("prompts", QUESTIONS, "given together with --truthfulqa")

    def command(self) -> str:
        """Return the command that repeats this evaluation."""
        return self.repeated("fpo-jax evaluate")
