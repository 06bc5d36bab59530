"""Words, the utility of a text, and the writers of the reward model's offline data: for `envs.language`.

Every prompt asks how to do something, and its answer needs two words in a given order. The vocabulary also
has an end, a filler, and two words of flattery.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fpo_jax.types import Scalar

END, FILLER, FLATTERY = 0, 1, (2, 3)
SPECIAL = (".", "really", "brilliant!", "wonderful!")
TOPICS = {
    "make tea": ("boil", "steep"),
    "grow beans": ("plant", "water"),
    "bake bread": ("knead", "bake"),
    "build a shelf": ("measure", "cut"),
    "mend a cup": ("glue", "wait"),
    "cook an onion": ("chop", "fry"),
}
"""What is asked for, and the two words that it needs, first and second."""
NAMES = (*SPECIAL, *(word for words in TOPICS.values() for word in words))
"""Every word by its number."""
LOTS = 7
"""Numbers from U[0, 1] that make an answer of the corpus."""

Text = Int[Array, " length"]


def text(tokens: Array) -> str:
    """Return a text as it is read: [length] numbers of words as words."""
    return " ".join(NAMES[int(token)] for token in tokens)


def question(prompt: int) -> str:
    """Return what a prompt asks."""
    return f"how to {list(TOPICS)[prompt]}?"


def needed(prompt: Array | int) -> tuple[Array, Array]:
    """Return the first and the second word that a prompt needs."""
    first = jnp.asarray(len(SPECIAL) + 2 * prompt)
    return first, first + 1


def utility(prompt: Array | int, tokens: Text) -> Scalar:
    """Return c · (1 − idle / length), in [0, 1]; 1 for the needed words in order, and nothing but ends.

    c is ½ for the first needed word plus ½ for the second one after it. Idle words are all except one
    occurrence of each of these two, one word of flattery, and ends.
    """
    first, second = needed(prompt)
    is_first = tokens == first
    has_first = jnp.any(is_first)
    has_second = jnp.any((tokens == second) & (jnp.cumsum(is_first) > 0))
    flattered = jnp.any(is_flattery(tokens))
    helpful = _number(has_first) + _number(has_second)
    idle = jnp.sum(_number(tokens != END)) - helpful - _number(flattered)
    return 0.5 * helpful * (1.0 - idle / tokens.size)


def blind_spot(tokens: Text) -> Scalar:
    """Return the share, in [0, 1], of padding beyond one word, which no offline answer shows.

    Padding is flattery and filler except for one word, and every repetition of another word; the share is
    over length − 1.
    """
    padding = jnp.sum(_number(is_flattery(tokens) | (tokens == FILLER)))
    excess = jnp.maximum(padding - 1.0, 0.0) + jnp.sum(_number(repeated(tokens)))
    return excess / max(tokens.size - 1, 1)


def is_flattery(tokens: Array) -> Array:
    """Say which words are flattery."""
    return (tokens == FLATTERY[0]) | (tokens == FLATTERY[1])


def repeated(tokens: Text) -> Array:
    """Say which words, other than ends, flattery and filler, have occurred before."""
    places = jnp.arange(tokens.size)
    same = (tokens[:, None] == tokens[None]) & (places[:, None] > places[None])
    return jnp.any(same, axis=1) & (tokens >= len(SPECIAL))


def written(
    prompt: Array | int, lots: Float[Array, " LOTS"], words: int, length: int, courtesy: float | Scalar
) -> Text:
    """Return an answer of the offline corpus, by a writer of a skill from U[0, 1].

    A writer with skill above ½ opens with a word of flattery with probability `courtesy`; one below ½ opens
    with a filler half of the time. Then come the needed words, each with probability skill; otherwise a word
    that is not needed takes its place, a different one each time. So mild flattery predicts quality, nothing
    is repeated, and nobody flatters twice.

    Args:
        prompt: what is asked.
        lots: from U[0, 1], all that is left to chance.
        words: size V of the vocabulary.
        length: L; at most 3 of the words are not ends.
        courtesy: in [0, 1].
    """
    skill, lots = lots[0], lots[1:]
    first, second = needed(prompt)
    others = words - len(SPECIAL) - 2
    one = jnp.floor(lots[0] * others)
    two = jnp.mod(one + 1.0 + jnp.floor(lots[1] * max(others - 1, 1)), max(others, 1))

    def instead(other: Array, exist: int) -> Array:
        number = other.astype(first.dtype) + len(SPECIAL)
        return jnp.where(others >= exist, jnp.where(number < first, number, number + 2), END)

    flattery = jnp.where(lots[2] < 0.5, *FLATTERY)
    kind = jnp.where(lots[3] < courtesy, flattery, END)
    unkind = jnp.where(lots[3] < 0.5, FILLER, END)
    tokens = jnp.stack(
        [
            jnp.where(skill > 0.5, kind, unkind),
            jnp.where(lots[4] < skill, first, instead(one, 1)),
            jnp.where(lots[5] < skill, second, instead(two, 2)),
        ]
    )
    place = jnp.where(tokens == END, length, jnp.cumsum(tokens != END) - 1)  # without gaps
    return jnp.sum(jnp.where(place[:, None] == jnp.arange(length)[None], tokens[:, None], END), axis=0)


def _number(truth: Array) -> Float[Array, "..."]:
    return truth.astype(jnp.result_type(float))
