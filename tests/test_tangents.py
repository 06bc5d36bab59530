"""Directions in which a policy can move."""

import numpy as np
import pytest

from fpo_jax import tangents
from fpo_jax.errors import InputError


def test_products_find_the_directions_that_a_matrix_has():
    # lengths 1, 1/2, 1/4 … : seven of them are longer than 1/100, and F has their squares
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(n, 20)))[0] for n in (60, 40))
    root = left @ np.diag(0.5 ** np.arange(20)) @ right.T
    asked = []

    def times(vector):
        asked.append(vector)
        return root.T @ (root @ vector)

    by_matrix = tangents.of_parameters(root, 1e-2)
    by_products = tangents.of_products(times, 40, 1e-2)
    assert by_products.vectors.shape == by_matrix.vectors.shape == (40, 7)
    gram = by_products.vectors.T @ root.T @ root @ by_products.vectors
    np.testing.assert_allclose(gram, np.eye(7), atol=1e-3)  # orthonormal in F
    np.testing.assert_allclose(by_products.covectors @ by_products.vectors, np.eye(7), atol=1e-9)
    spaces = [one.vectors @ one.pull for one in (by_matrix, by_products)]  # F⁺ along them, whatever the basis
    np.testing.assert_allclose(spaces[1], spaces[0], atol=1e-2 * np.max(np.abs(spaces[0])))
    before = len(asked)
    again = tangents.of_products(times, 40, 1e-2)
    assert before < 40  # fewer products than there are parameters
    np.testing.assert_array_equal(again.vectors, by_products.vectors)  # the same random numbers


def test_more_directions_than_can_be_held_are_refused(monkeypatch):
    monkeypatch.setattr(tangents, "MOST_PARAMETERS", 3)
    with pytest.raises(InputError, match="directions of the policy = 5: must be <= 3"):
        tangents.of_parameters(np.eye(5), 1e-2)
