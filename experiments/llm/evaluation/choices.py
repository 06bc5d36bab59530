"""Questions of TruthfulQA with their reference answers, as a model reads them.

Both are read at their own lengths, rounded up: most are much shorter than the longest.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from fpo_jax.experiments.llm.asked import AT_ONCE, Done, in_one_bucket, padded, rounded
from fpo_jax.experiments.llm.evaluation.truthfulqa import Question
from fpo_jax.experiments.llm.generation import log_probabilities, read_prompt
from fpo_jax.experiments.llm.model import Net
from fpo_jax.experiments.llm.prompts import Prompt, Tokenizer
from fpo_jax.types import Scalar


@jax.jit
def _choices(
    net: Net, prompt: Int[Array, " p"], length: Scalar, answers: Int[Array, "n t"], numbers: Int[Array, " n"]
) -> Float[Array, " n"]:
    """Return Σ log π over the first `numbers` tokens of each answer."""
    read = read_prompt(net, prompt, length, answers.shape[1])
    each = log_probabilities(net, read, answers)
    belongs = jnp.arange(answers.shape[1])[None, :] < numbers[:, None]
    return jnp.sum(jnp.where(belongs, each, 0.0), axis=1)


class Choices(NamedTuple):
    """Questions with their reference answers, as a model reads them.

    Attributes:
        asked: [m, p] questions.
        lengths: [m] numbers of their tokens.
        answers: m lists of the tokens of the answers.
    """

    asked: np.ndarray
    lengths: np.ndarray
    answers: list[list[list[int]]]

    @classmethod
    def of(cls, questions: Sequence[Question], prompts: Sequence[Prompt], tokenizer: Tokenizer) -> "Choices":
        """Read the answers after their questions; without a chat template a space separates them."""
        space = "" if tokenizer.chat else " "
        tokens = [
            [list(tokenizer.inner(space + text, add_special_tokens=False)["input_ids"]) for text in q.answers]
            for q in questions
        ]
        return cls(*in_one_bucket(prompts), tokens)

    def log_likelihoods(self, net: Net, done: Done) -> list[np.ndarray]:
        """Return Σ log π of the answers to each question, in nats."""
        found = []
        for prompt, length, answers in zip(self.asked, self.lengths, self.answers, strict=True):
            sums = np.zeros(len(answers), np.float32)
            by_length = np.argsort([len(tokens) for tokens in answers], kind="stable")
            for first in range(0, len(answers), AT_ONCE):
                some = by_length[first : first + AT_ONCE]
                tokens = [*(answers[i] for i in some), *[[]] * (AT_ONCE - len(some))]
                numbers = np.array([len(each) for each in tokens], np.int32)
                rows = padded(tokens, rounded(int(np.max(numbers))))
                read = _choices(net, prompt[: rounded(int(length))], length, rows, numbers)
                sums[some] = np.asarray(read)[: len(some)]
            found.append(sums)
            done()
        return found
