"""Programs that answer and read, for few sizes, so that few compile.

Prompts to answer share one bucket. Questions and reference answers are read at their own lengths, rounded up:
most are much shorter than the longest.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from fpo_jax.experiments.llm.evaluation.truthfulqa import Question
from fpo_jax.experiments.llm.generation import Samples, Sampling, log_probabilities, read_prompt, sample
from fpo_jax.experiments.llm.model import Net
from fpo_jax.experiments.llm.oracle import Told, likelihood_utility
from fpo_jax.experiments.llm.prompts import Prompt, Tokenizer
from fpo_jax.experiments.llm.step import step_key
from fpo_jax.types import Key, Scalar

AT_ONCE = 8
"""Prompts to answer at once, or reference answers to read at once."""
MULTIPLE = 16
"""Lengths are rounded up to a multiple of this."""
Ways = tuple[tuple[Sampling, int], ...]
"""How to draw answers, and how many of each kind; hashable, since programs depend on it."""
Done = Callable[[], None]


@partial(jax.jit, static_argnames="ways")
def _answer(
    net: Net, prompts: Int[Array, "b p"], lengths: Int[Array, " b"], keys: Key, ways: Ways
) -> tuple[Samples, ...]:
    room = max(how.tokens for how, _ in ways)

    def one(prompt: Int[Array, " p"], length: Scalar, key: Key) -> tuple[Samples, ...]:
        read = read_prompt(net, prompt, length, room)
        return tuple(sample(net, read, key, rows, how) for how, rows in ways)

    return jax.vmap(one)(prompts, lengths, keys)


@partial(jax.jit, static_argnames="ends")
def _under(
    base: Net,
    prompts: Int[Array, "b p"],
    lengths: Int[Array, " b"],
    answers: tuple[Int[Array, "b n t"], ...],
    ends: tuple[int, ...],
) -> tuple[Told, ...]:
    def one(prompt: Int[Array, " p"], length: Scalar, *said: Int[Array, "n t"]) -> tuple[Told, ...]:
        return likelihood_utility(base, prompt, length, said, ends)

    return jax.vmap(one)(prompts, lengths, *answers)


@jax.jit
def _choices(
    net: Net, prompt: Int[Array, " p"], length: Scalar, answers: Int[Array, "n t"], numbers: Int[Array, " n"]
) -> Float[Array, " n"]:
    """Return Σ log π over the first `numbers` tokens of each answer."""
    read = read_prompt(net, prompt, length, answers.shape[1])
    each = log_probabilities(net, read, answers)
    belongs = jnp.arange(answers.shape[1])[None, :] < numbers[:, None]
    return jnp.sum(jnp.where(belongs, each, 0.0), axis=1)


def rounded(length: int) -> int:
    """Return a length rounded up."""
    return -(-length // MULTIPLE) * MULTIPLE


def padded(rows: Sequence[Sequence[int]], size: int) -> np.ndarray:
    """Return rows of tokens with 0 behind them, [row, size]."""
    table = np.zeros((len(rows), size), np.int32)
    for row, tokens in zip(table, rows, strict=True):
        row[: len(tokens)] = tokens
    return table


def in_one_bucket(prompts: Sequence[Prompt]) -> tuple[np.ndarray, np.ndarray]:
    """Return [m, p] tokens of prompts, padded to one length, and [m] their numbers."""
    lengths = np.array([len(prompt.tokens) for prompt in prompts], np.int32)
    return padded([prompt.tokens for prompt in prompts], rounded(int(np.max(lengths)))), lengths


class Asked(NamedTuple):
    """Prompts of one bucket, with a key each.

    Attributes:
        prompts: [m, p] padded tokens.
        lengths: [m] numbers of tokens.
        key: source of the key of each prompt, the same for all models, so that draws differ only by model.
    """

    prompts: np.ndarray
    lengths: np.ndarray
    key: Key

    @classmethod
    def of(cls, prompts: Sequence[Prompt], key: Key) -> "Asked":
        """Put prompts into one bucket."""
        return cls(*in_one_bucket(prompts), key)

    @property
    def batches(self) -> int:
        """Return the number of batches."""
        return -(-len(self.lengths) // AT_ONCE)

    def _parts(self) -> Iterator[np.ndarray]:
        """Yield the prompts of each batch; the last batch is padded with prompt 0."""
        for first in range(0, len(self.lengths), AT_ONCE):
            places = np.arange(first, first + AT_ONCE)
            yield np.where(places < len(self.lengths), places, 0)

    def answer(self, net: Net, ways: Ways, done: Done) -> tuple[Samples, ...]:
        """Let a model answer every prompt in several ways."""
        found = []
        for part in self._parts():
            keys = jax.vmap(partial(step_key, self.key))(jnp.asarray(part))
            found.append(jax.device_get(_answer(net, self.prompts[part], self.lengths[part], keys, ways)))
            done()
        return self._joined(found)

    def under(
        self, base: Net, answers: Sequence[Samples], ends: tuple[int, ...], done: Done
    ) -> tuple[Told, ...]:
        """Let the base model read answers."""
        found = []
        for part in self._parts():
            said = tuple(one.tokens[part] for one in answers)
            found.append(jax.device_get(_under(base, self.prompts[part], self.lengths[part], said, ends)))
            done()
        return self._joined(found)

    def _joined(self, parts: Sequence[tuple]) -> tuple:
        """Join batches, without the padding of the last one."""
        return jax.tree.map(lambda *each: np.concatenate(each)[: len(self.lengths)], *parts)


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
