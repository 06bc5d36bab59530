"""Short texts as responses: an autoregressive transformer as the policy, a reward model on a frozen encoder.

A prompt asks for two words in a given order. In the offline data a good answer often has one word of
flattery, and nobody flatters twice. The reward model is linear in the features of a frozen random
transformer, so it takes more flattery for a better answer: the blind spot. Either all V^L texts are
enumerated with their exact probabilities, or some are sampled. The policy, the reward model and the utility
are the same in both cases.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Int

from fpo_jax.envs.parts import words
from fpo_jax.envs.parts.answers import described, encoder_of, every_answer, place
from fpo_jax.envs.parts.language_game import LanguageGame
from fpo_jax.errors import InputError
from fpo_jax.hyperparameters import count, real
from fpo_jax.numerics.keys import named_key
from fpo_jax.types import Key, Recipe, Scalar

MOST_TEXTS = 16**4
"""Most texts to one prompt that are enumerated."""


@struct.dataclass
class Language:
    """Prompts, a small vocabulary and short texts: sizes and strengths, to draw games from (ours)."""

    name: ClassVar[str] = "language"
    recipe: ClassVar[Recipe] = Recipe(
        steps=200,
        leader={"policy_lr": 0.5},
        follower="best-response",
        settings={"alpha": 0.1, "ridge": 0.01},
        weights={
            "relaxed": 1.0,
            "practical": 0.3,
            "proximal": 3.0,
            "tracin": 1.0,
            "fpo": 1.0,
            # chosen by `fpo-jax reproduce --only mitigations`, on seeds of their own
            "leverage": 0.316,
            "pessimistic": 1.0,
            "kl": 0.1,
            "chi-squared": 0.1,
            "gradient-norm": 10.0,
            "shaped": 31.6,
            "ensemble": 100.0,
        },
    )

    kl_weight: float = real(0.02, "coefficient β of KL(π ‖ π_ref)", low=0.0)
    courtesy: float = real(0.9, "how often the most skilled writer flatters", low=0.0, high=1.0)
    smoothing: float = real(0.5, "pseudo-count added to each pair of words of the corpus", low=0.0, open=True)
    prompts: int = count(2, "number of prompts")
    vocabulary: int = count(8, "number of words V", low=6)
    length: int = count(4, "number of words L in an answer", low=2, high=1000)
    responses: int = count(0, "answers sampled for each prompt; 0 enumerates all V^L", low=0)
    corpus: int = count(64, "offline answers for each prompt")
    features: int = count(8, "width of the frozen encoder, d")
    width: int = count(16, "width of the policy's transformer")
    layers: int = count(1, "layers of the policy's transformer, and of the encoder", high=100)
    heads: int = count(2, "heads of each layer")

    def check(self) -> None:
        """Raise an InputError for too many words or texts, and for heads that do not divide the width."""
        known, special = len(words.NAMES), len(words.SPECIAL)
        if self.vocabulary > known:
            raise InputError("vocabulary", self.vocabulary, f"at most {known}, the number of known words")
        if special + 2 * self.prompts > self.vocabulary:
            allowed = f"<= (vocabulary - {special}) / 2, so that each prompt has its own two words"
            raise InputError("prompts", self.prompts, allowed)
        for name in ("width", "features"):
            if getattr(self, name) % self.heads:
                raise InputError(name, getattr(self, name), f"a multiple of heads = {self.heads}")
        if not self.responses and self.vocabulary**self.length > MOST_TEXTS:
            texts = f"{self.vocabulary}^{self.length} texts"
            allowed = f"at most {MOST_TEXTS} texts to enumerate, or responses > 0 to sample that many"
            raise InputError("vocabulary, length", texts, allowed)

    def draw(self, key: Key) -> LanguageGame:
        """Draw one game: its encoder, and its corpus, whose pairs of words make the reference policy."""
        encoder = encoder_of(
            self.vocabulary + self.prompts, self.length, self.features, self.layers, self.heads
        )
        weights = encoder.start(named_key(key, "encoder"))
        prompt = jnp.repeat(jnp.arange(self.prompts), self.corpus)
        lots = jax.random.uniform(named_key(key, "corpus"), (prompt.size, words.LOTS))
        tokens = jax.vmap(lambda x, row: words.written(x, row, self.vocabulary, self.length, self.courtesy))(
            prompt, lots
        )
        if self.responses:
            every, corpus = None, described(encoder, weights, self.vocabulary, prompt, tokens)
        else:
            every = every_answer(encoder, weights, self.prompts, self.vocabulary, self.length)
            places = place(prompt, tokens, self.vocabulary)
            corpus = jax.tree.map(lambda leaf: leaf[places], every)
        return LanguageGame(
            encoder=weights,
            log_reference=jnp.log(_pairs(tokens, self.prompts, self.vocabulary, self.smoothing)),
            corpus=corpus,
            every=every,
            kl_weight=self.kl_weight,
            fixed=jax.random.key_data(named_key(key, "fixed sample")),
            responses=self.responses,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
        )


def _pairs(
    tokens: Int[Array, "texts length"], prompts: int, vocabulary: int, smoothing: float | Scalar
) -> Array:
    """Return the frequency of a word after each other one and after none, [prompts, V + 1, V]."""
    before = jnp.concatenate([jnp.full_like(tokens[:, :1], vocabulary), tokens[:, :-1]], axis=1)
    pairs = (jax.nn.one_hot(x, n) for x, n in ((before, vocabulary + 1), (tokens, vocabulary)))
    rows = (x.reshape(prompts, -1, x.shape[-1]) for x in pairs)
    table = jnp.einsum("xib,xiw->xbw", *rows, precision="highest") + smoothing
    return table / jnp.sum(table, axis=2, keepdims=True)
