"""Old names of modules: each says the new one, and the new one is there."""

import importlib

import pytest

from fpo_jax.moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_says_a_new_one_that_is_there(old):
    if old.startswith("fpo_jax."):  # a folder of the checkout has either name
        with pytest.raises(ModuleNotFoundError, match=f"{old} is now {MOVED[old]}"):
            importlib.import_module(old)
    for new in MOVED[old].split(" and "):
        importlib.import_module(new)
