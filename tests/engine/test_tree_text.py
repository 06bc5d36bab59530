"""Structures of pytrees as JSON, and back."""

import json
import sys
from typing import NamedTuple

import jax
import optax
import pytest
from flax import struct

from fpo_jax.engine.tree_text import Unknown, described, restored


@struct.dataclass
class Node:
    child: object
    size: int = struct.field(pytree_node=False, default=3)


class Pair(NamedTuple):
    left: object
    right: object


class Plain:
    """A class that is no node of a tree."""


TREES = {
    "leaf": 1.0,
    "none": None,
    "containers": (1.0, [2.0, None], {"b": 3.0, "a": (4.0,)}),
    "classes": Pair(Node({"x": 1.0}, 5), [Node(None), Pair(1.0, ())]),
    "of optax": optax.adam(0.1).init({"w": 1.0}),
}


@pytest.mark.parametrize("name", TREES)
def test_a_structure_survives(name):
    text = json.dumps(described(TREES[name]))
    assert jax.tree.structure(restored(json.loads(text))) == jax.tree.structure(TREES[name])


@pytest.mark.parametrize("tree", [{1: 2.0}, Node(1.0, size=(1, 2))], ids=["numbers as names", "static tuple"])
def test_what_cannot_be_told_is_not_told_wrong(tree):
    with pytest.raises(Unknown):
        described(tree)


@pytest.mark.parametrize(
    "text",
    [
        ["os:system", {}],
        ["builtins:object", {}],
        ["subprocess:Popen", {"args": 0}],
        ["not_loaded_yet:Node", {}],
        ["tests.engine.test_tree_text:Plain", {}],
        ["tests.engine.test_tree_text:Node", {"child": 0}],
        ["tests.engine.test_tree_text:Node.__init__", {}],
        ["tuple", 3],
        ["dict", [1]],
        [[], []],
        "tuple",
        7,
    ],
    ids=str,
)
def test_a_text_that_tells_of_nothing_known_is_refused(text):
    with pytest.raises(Unknown):
        restored(text)
    assert "not_loaded_yet" not in sys.modules


def test_no_constructor_runs():
    @struct.dataclass
    class Louder:
        child: object

        def __post_init__(self):
            raise AssertionError("it runs")

    here = sys.modules[__name__]
    here.Louder, Louder.__qualname__ = Louder, "Louder"
    try:
        made = restored([f"{__name__}:Louder", {"child": 0}])
    finally:
        del here.Louder
    assert type(made) is Louder
