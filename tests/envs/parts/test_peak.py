"""What the two continuous environments share, by hand."""

import jax.numpy as jnp
import numpy as np

from fpo_jax import Responses
from fpo_jax.envs.linear import Linear


def test_utility_cost_blind_spot_and_norms():
    # c = (2, 2, 0); at y = (2, 0, 1) the squared distance is 4 + 1, and 1 of ‖y‖² = 5 is noise
    game = Linear(dimension=3, signal_dimension=2, utility_scale=7.0, utility_rate=0.2, action_cost=0.3)
    y = jnp.array([2.0, 0.0, 1.0])
    np.testing.assert_allclose(game.utility(y), 7.0 * np.exp(-1.0), rtol=1e-14)
    np.testing.assert_allclose(game.blind_spot(y), 0.2, rtol=1e-14)
    assert game.blind_spot(0 * y) == 0.0
    two = Responses(jnp.stack([y, 2 * y]), jnp.array([0.75, 0.25]))
    np.testing.assert_allclose(game.cost(y, two), 0.3 * (0.75 * 5 + 0.25 * 20), rtol=1e-14)
    assert {name: float(value) for name, value in game.diagnostics(-3 * y).items()} == {
        "signal_norm": 6.0,
        "noise_norm": 3.0,
    }
    assert game.optimum() == game.utility(game.ideal) == 7.0
