"""Random processes: how many states are planted, and what they look like."""

import numpy as np
import pytest

from fpo_jax.envs.garnet import Garnet
from tests.helpers import draw


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.1, 3), (0.25, 7), (0.5, 15), (0.999, 29)])
def test_garnet_plants_the_share_it_is_told(share, expected, key):
    # of 30 states, rounded to the nearest (7.5 down), at least one ordinary
    game = draw(Garnet(states=30, planted_share=share), key)
    planted = np.asarray(game.pairs.planted[:, 0])
    assert planted.sum() == expected
    style, quality = game.pairs.features[:, 0, 0], np.asarray(game.pairs.utility[:, 0])
    assert np.all((style >= 2.0) == (planted == 1))
    assert np.all(quality[planted == 1] <= 0.2)
