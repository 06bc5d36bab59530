"""What each model came to, in files: until an evaluation is finished, or for later ones."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from fpo_jax.experiments.core import parts
from fpo_jax.experiments.llm.evaluation.settings import EvaluateSettings
from fpo_jax.experiments.llm.evaluation.truthfulqa import Question

CHOOSING = ("runs", "prompts", "unseen", "truthfulqa", "questions")
"""Settings that only choose the models, and the prompts and questions that they meet."""


class Kept:
    """A folder with a file for each model; its name tells models, prompts and settings apart.

    Args:
        folder: the folder, which need not exist; None keeps nothing.
        settings: of the evaluation.
        prompts, questions: what every model meets.
    """

    def __init__(
        self,
        folder: Path | None,
        settings: EvaluateSettings,
        prompts: Sequence[str],
        questions: Sequence[Question],
    ):
        self.folder, self.settings = folder, settings
        self.asked: dict[str, Any] = {
            **{name: value for name, value in settings.as_dict().items() if name not in CHOOSING},
            "prompts": _digest(json.dumps([*prompts])),
            "questions": _digest(json.dumps([[question.text, *question.answers] for question in questions])),
        }
        self.files: list[Path] = []

    def of(self, name: str, adapter: PyTree, compute: Callable[[], parts.Arrays]) -> parts.Arrays:
        """Return the arrays of a model; compute and keep them if there is no file.

        Args:
            name: of the model, or of other work on the base model.
            adapter: that of the model; None for the base model.
            compute: returns the arrays.

        Raises:
            InputError: when the folder cannot be written.
        """
        if self.folder is None:
            return compute()
        arrays = {str(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(adapter)}
        told = {path: _digest(array.tobytes()) for path, array in arrays.items()}
        asked = {**self.asked, "adapter": _digest(json.dumps(told))}
        path = parts.file_of(self.folder, name, _digest(json.dumps(asked)))
        self.files.append(path)
        return parts.part(path, asked, compute, self.settings.command(), self.settings.precision)

    def remove(self) -> None:
        """Remove the files, and the folder if it is empty then."""
        for path in self.files:
            path.unlink(missing_ok=True)
        if self.folder is not None:
            with contextlib.suppress(OSError):  # others are in it
                self.folder.rmdir()


def _digest(contents: str | bytes) -> str:
    return hashlib.sha256(contents.encode() if isinstance(contents, str) else contents).hexdigest()[:12]
