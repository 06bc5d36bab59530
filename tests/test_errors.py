"""Errors of input: one short line, with the nearest name."""

import numpy as np
import pytest

from fpo_jax import InputError
from fpo_jax.errors import require_known
from fpo_jax.followers import FOLLOWERS
from fpo_jax.hyperparameters import kebab


def test_the_nearest_name_is_suggested():
    with pytest.raises(InputError, match=r"follower = best-respond: .* \(nearest: best-response\)"):
        require_known("follower", "best-respond", FOLLOWERS)
    assert kebab("BestResponse") == "best-response"


def test_an_error_about_an_array_is_one_short_line():
    error = InputError("alpha", np.full(500, 2.0), "in [0, 1]")
    assert "\n" not in str(error)
    assert len(str(error)) < 120


def test_nothing_in_an_error_acts_on_a_terminal_or_fills_it():
    error = InputError("judge\x1b]0;title\x07", "\x1b[2J" + "a" * 10**6, "some\u202etext\nof lines \udcff")
    assert str(error).startswith(r"judge\x1b]0;title\x07 = \x1b[2Jaaa")
    assert str(error).endswith("a…: must be some\\u202etext of lines \udcff")
    assert len(str(error)) < 700


def test_names_with_commas_are_told_apart():
    with pytest.raises(InputError, match="must be one of leverage; leverage, U known; exact"):
        require_known("only", "nothing", ["leverage", "leverage, U known", "exact"])
