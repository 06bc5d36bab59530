"""Heat maps: every value where it belongs."""

import numpy as np

from fpo_jax import plotting


def test_heat_map_puts_values_where_they_belong():
    _, axes = plotting.panels(1, 1)
    values = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    places = np.array([0.01, 0.1, 1.0]), np.array([1.0, 2.0])
    heat = plotting.HeatMap(*places, values, limits=(0, 5), colours="viridis")
    drawn = plotting.draw(axes[0, 0], plotting.Chart("", [heat]))
    x, y = drawn._coordinates[0, :, 0], drawn._coordinates[:, 0, 1]
    # decades meet halfway by ratio; units halfway by difference, and reach as far beyond the ends
    np.testing.assert_allclose(x, 10.0 ** np.array([-2.5, -1.5, -0.5, 0.5]))
    np.testing.assert_allclose(y, [0.5, 1.5, 2.5])
    np.testing.assert_array_equal(drawn.get_array(), values)
    assert (axes[0, 0].get_xscale(), axes[0, 0].get_yscale()) == ("log", "linear")
