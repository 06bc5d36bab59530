"""Words for where a search begins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax.experiments.equilibria.starts import SPREAD, drawn, start_names
from tests.helpers import require_named


def test_words_stand_for_starts():
    assert start_names((), "logits") == ("first",)
    assert start_names((), "action") == ("run",)  # whose first one, 0, is an equilibrium itself
    assert start_names(("best", "drawn:2", "first"), "logits") == ("best", "drawn 1", "drawn 2", "first")


@pytest.mark.parametrize("words", [("last",), ("drawn:0",), ("drawn",), ("first", "first")])
def test_other_words_are_refused(words):
    require_named("starts = ", lambda: start_names(words, "logits"))


def test_drawn_logits_do_not_depend_on_the_first_policy_and_others_do():
    key, there = jax.random.key(3), jnp.full(400, 5.0)
    logits = drawn(there, "logits", "drawn 1", key)
    np.testing.assert_allclose(drawn(there, "parameters", "drawn 1", key), there + logits)
    # the mean of 400 draws of N(0, 3²) has a standard deviation of 0.15
    assert abs(float(jnp.mean(logits))) < 4 * 0.15
    assert float(jnp.std(logits)) == pytest.approx(SPREAD, rel=0.15)
    assert not np.allclose(drawn(there, "logits", "drawn 2", key), logits)
