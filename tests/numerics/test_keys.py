"""Keys by purpose, and normal numbers."""

import zlib

import jax
import numpy as np

from fpo_jax.numerics.keys import named_key, normal


def test_a_purpose_has_a_key_of_its_own(key):
    purposes = ("instance", "initial parameters", "instance")
    ours = [jax.random.key_data(named_key(key, purpose)) for purpose in purposes]
    theirs = [jax.random.key_data(jax.random.fold_in(key, zlib.crc32(p.encode()))) for p in purposes]
    np.testing.assert_array_equal(ours, theirs)
    assert np.any(ours[0] != ours[1])


def test_a_matrix_of_normal_numbers_is_one_row_of_them(key):
    np.testing.assert_array_equal(normal(key, (3, 2)), jax.random.normal(key, (6,)).reshape(3, 2))
    assert normal(key, ()).shape == ()
