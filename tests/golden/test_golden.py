"""Runs are what they were: traces made by an earlier version of the code, to 1e-9.

`pytest -m slow tests/golden` runs them all, in ten minutes; the quick tests have one for each follower.
"""

import numpy as np
import pytest

from fpo_jax.envs import ENVIRONMENTS
from tests.golden import traces

TOLERANCE = 1e-9
QUICK = (
    ("bandit", "best-response", "relaxed"),
    ("linear", "gradient", "exact"),
    ("neural", "optax", "proximal"),
)
OURS = [name for name in ENVIRONMENTS if traces.path_of(name).exists()]


@pytest.mark.parametrize(
    ("environment", "follower", "method"),
    [
        pytest.param(environment, *case, marks=() if (environment, *case) in QUICK else pytest.mark.slow)
        for environment in OURS
        for case in traces.cases(environment)
    ],
)
def test_a_run_is_what_it_was(environment, follower, method):
    golden = traces.read(environment)[f"{follower} {method}"]
    found = traces.trace(environment, follower, method)
    assert found.keys() == golden.keys()
    for name, values in golden.items():
        if name == "refused":
            assert found[name] == values
        else:
            np.testing.assert_allclose(found[name], values, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)


def test_every_environment_has_golden_traces():
    assert sorted(OURS) == sorted(ENVIRONMENTS)
