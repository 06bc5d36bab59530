"""Faults that are planted: each changes one thing, and is a program still."""

import ast

from tests.faults import faults_in
from tests.mutants import all_faults, groups_for

SOURCE = """
def loss(game, w, key):
    '''w - 1.'''
    update_key, _ = jax.random.split(key)
    if w.size < 3:
        raise ValueError(w + 1)
    fixed = jax.lax.stop_gradient(w)
    return jnp.sum(fixed**2, axis=0) - game.cost(w, update_key)
"""


def test_a_fault_changes_one_thing():
    faults = [fault.name.split(": ", 1)[1] for fault in faults_in("loss.py", SOURCE)]
    assert len(faults) == len({*faults})
    assert {
        "update_key -> key",
        "key -> update_key",
        "w.size < 3 -> w.size <= 3",
        "3 -> 4",
        "jax.lax.stop_gradient(w) -> w",
        "jnp.sum -> jnp.mean",
        "jnp.sum(fixed ** 2, axis=0) -> jnp.sum(fixed ** 2)",
        "0 -> 1",
        "fixed ** 2 -> fixed * 2",
        "game.cost(w, update_key) -> game.cost(update_key, w)",
        "jnp.sum(fixed ** 2, axis=0) - game.cost(w, update_key) -> jnp.sum(fixed ** 2, axis=0)",
    } <= {*faults}
    assert not [
        fault for fault in faults if fault.startswith(("1", "w + 1", "w - 1"))
    ]  # words, and complaints


def test_faults_of_the_theory_are_programs_and_have_tests():
    for fault in all_faults(["fpo_jax/expect.py", "envs/parts/words.py"]):
        ast.parse(fault.content)
        (first, *_), *others = groups_for(fault.path)
        assert first in ("tests/test_expect.py", "tests/envs/parts/test_words.py")
        assert ["tests/test_steering.py"] in others
