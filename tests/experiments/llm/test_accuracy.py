"""How often r orders answers as U does, counted by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax.experiments.llm.accuracy import accuracy

TOKENS = jnp.array([[5, 6, 0], [5, 7, 0], [8, 0, 0], [5, 6, 0]])  # the last says what the first says


def told(rewards, utilities, tokens=TOKENS):
    return tuple(float(one) for one in accuracy(jnp.array(rewards), jnp.array(utilities), tokens))


def test_pairs_that_are_ordered_alike():
    """Of 6 pairs, (0, 3) says the same. (0, 1), (1, 3): alike; (0, 2), (2, 3): not; (1, 2): r is the same."""
    assert told([0.0, 2.0, 2.0, 0.1], [1.0, 3.0, 0.0, 0.9]) == (2.5 / 5, 5)


def test_pairs_of_the_same_utility_have_no_order():
    """U of 1 and 2 is the same: (0, 1), (1, 3) are ordered alike, (0, 2) and (2, 3) are as well."""
    assert told([0.0, 2.0, 4.0, 0.0], [1.0, 3.0, 3.0, 1.0]) == (1.0, 4)


def test_without_pairs_it_is_a_guess():
    assert told([0.0, 2.0, 4.0, 0.0], [1.0, 3.0, 3.0, 1.0], TOKENS[:1].repeat(4, axis=0)) == (0.5, 0)


def test_several_prompts_are_counted_together():
    """No pair is of answers to two prompts: 5 pairs of which 2.5 are right, and 1 that is wrong."""
    rewards = [[0.0, 2.0, 2.0, 0.1], [9.0, 8.0, 8.0, 8.0]]
    utilities = [[1.0, 3.0, 0.0, 0.9], [0.0, 1.0, 1.0, 1.0]]
    second = np.array([[1, 0, 0], [2, 0, 0], [2, 0, 0], [1, 0, 0]])
    right, number = told(rewards, utilities, jnp.stack([TOKENS, jnp.asarray(second)]))
    assert number == 7
    assert right == pytest.approx(2.5 / 7)
