"""Texts of words: what each is worth, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np

from fpo_jax.envs.parts import words

# how to make tea? boil, then steep
WORTH = {
    "boil steep . .": (1.0, 0.0),
    "brilliant! boil steep .": (1.0, 0.0),  # one kind word is free
    "boil really steep .": (0.75, 0.0),  # a filler is idle: one word in four
    "steep boil . .": (0.375, 0.0),  # half for boil, and steep came too early: idle
    "boil boil steep .": (0.75, 1 / 3),
    "brilliant! boil steep wonderful!": (0.75, 1 / 3),
    "really boil steep brilliant!": (0.75, 1 / 3),
    "boil boil boil boil": (0.5 * 0.25, 1.0),
    "plant water . .": (0.0, 0.0),
    "brilliant! wonderful! brilliant! brilliant!": (0.0, 1.0),
    ". . . .": (0.0, 0.0),
}


def test_what_a_text_is_worth():
    tokens = np.array([[words.NAMES.index(word) for word in said.split()] for said in WORTH])
    assert [words.text(row) for row in tokens] == list(WORTH)
    assert words.question(0) == "how to make tea?"
    worth = jax.jit(jax.vmap(lambda y: jnp.stack([words.utility(0, y), words.blind_spot(y)])))(tokens)
    np.testing.assert_allclose(worth, list(WORTH.values()), rtol=1e-12)
