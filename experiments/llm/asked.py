"""Prompts that a model answers, or whose answers it reads, several at once.

All share one bucket, so that one program does. A step for eight prompts takes hardly longer than one for a
single prompt, since the weights are read once.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from fpo_jax.experiments.llm.generation import Samples, Sampling, read_prompt, sample
from fpo_jax.experiments.llm.model import Net
from fpo_jax.experiments.llm.oracle import Told, likelihood_utility
from fpo_jax.experiments.llm.prompts import Prompt
from fpo_jax.experiments.llm.step import step_key
from fpo_jax.types import Key, Scalar

AT_ONCE = 8
"""Most prompts to answer at once, and most reference answers to read at once."""
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
    def width(self) -> int:
        """The number of prompts in a batch."""
        return min(AT_ONCE, len(self.lengths))

    @property
    def batches(self) -> int:
        """The number of batches."""
        return -(-len(self.lengths) // self.width)

    def _parts(self) -> Iterator[np.ndarray]:
        """Yield the prompts of each batch; the last batch is padded with prompt 0."""
        for first in range(0, len(self.lengths), self.width):
            places = np.arange(first, first + self.width)
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
