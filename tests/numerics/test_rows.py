"""Rows that are pushed out by newer ones."""

import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax.numerics.rows import one_row, pushed


@pytest.mark.parametrize(
    ("new", "left"),
    [([7.0], [1.0, 2.0, 7.0]), ([7.0, 8.0], [2.0, 7.0, 8.0]), ([7.0, 8.0, 9.0], [7.0, 8.0, 9.0])],
)
def test_the_oldest_make_room_for_the_newest(new, left):
    kept = {"a": jnp.array([0.0, 1.0, 2.0]), "b": jnp.ones((3, 2))}
    found = pushed(kept, {"a": jnp.array(new), "b": jnp.zeros((len(new), 2))})
    np.testing.assert_array_equal(found["a"], left)
    np.testing.assert_array_equal(found["b"].sum(axis=1), [2.0] * (3 - len(new)) + [0.0] * len(new))


def test_one_row():
    np.testing.assert_array_equal(one_row({"a": jnp.array([1.0, 2.0])})["a"], [[1.0, 2.0]])
