"""A seed means the same instance in every version, and an instance gives the same numbers."""

import numpy as np
import pytest

from tests.golden import instances


@pytest.mark.parametrize("case", instances.CASES)
def test_an_instance_is_what_it_was(case):
    golden, found = instances.read()[case], instances.numbers(case)
    assert found.keys() == golden.keys()
    for name, value in golden.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-9, err_msg=name)
