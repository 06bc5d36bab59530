"""How runs approach where they end: laws that are known, and the corridor."""

import numpy as np
import pytest

from fpo_jax.experiments.study.endings import KINDS, Place, ended, power, rate


def test_a_power_of_the_time_and_a_geometric_rate_are_told():
    times = np.unique(np.geomspace(10, 30_000, 30).round())
    assert power(times, 3.0 * times**-1.0) == pytest.approx(1.0, abs=1e-9)
    assert power(times, 0.2 * times**-0.5) == pytest.approx(0.5, abs=1e-9)
    assert np.isnan(power(times, np.full(30, 1e-16)))
    times = np.arange(10, 410, 10)
    assert rate(times, 0.7 * 0.9**times + 1e-16) == pytest.approx(0.9, abs=1e-6)
    assert np.isnan(rate(times, np.full(40, 0.5)))


@pytest.mark.slow
def test_the_corridor_of_rlhf_ends_at_the_decoy():
    place = Place("corridor", 400)
    found = ended(place, "myopic", 2, lambda *_: None)
    np.testing.assert_array_equal(found["found"], 1.0)
    assert np.all(found["utility"] < 1e-6)  # all go to the decoy, which is worth nothing
    assert np.all(found["stable"] == 1.0)
    assert KINDS[int(found["kind"][0])] == "maximum"
    # mirror steps come there within ten iterations but for what is never given, which fades by the radius
    mirror = found["mirror_distance"]
    assert np.all(mirror[:, 0] < 1e-9)
    np.testing.assert_allclose((mirror[:, 6] / mirror[:, 3]) ** (1 / 30), found["radius"], atol=0.01)
    # gradient steps are on their way
    assert np.all(found["gradient_distance"][:, -1] < found["gradient_distance"][:, 0])
    assert np.all(found["gradient_distance"][:, -1] > 1e-6)
