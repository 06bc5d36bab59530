"""Iterations of a tabular process against the independent NumPy oracle."""

import numpy as np
import pytest

from fpo_jax.envs.parts.tabular import Pair
from fpo_jax.envs.parts.transitions import Table
from fpo_jax.experiments.bench.numpy_oracle_tabular import TabularOracle
from fpo_jax.objectives import Fpo
from tests.helpers import compiled_iteration

# RLHF, practical and relaxed FPO are one program, whose numbers differ
FORMS = {"myopic": (0.0, 0.0), "practical": (0.2, 0.0), "relaxed": (0.2, 1.0), "exact": None}


@pytest.mark.parametrize("objective", FORMS)
def test_tabular_oracle(objective):
    """The corridor has the right sizes, 7 states and 2 actions; what is in its tables is random here."""
    form, rng = FORMS[objective], np.random.default_rng(3)
    _, program, (game, leader, state) = compiled_iteration("corridor", "fpo" if form else "exact")
    if form:
        weight, oracle = form
        leader = leader.replace(objective=Fpo(weight=weight, oracle=oracle))
    pairs = Pair(rng.normal(size=(7, 2, 2)), rng.uniform(size=(7, 2)), rng.uniform(size=(7, 2)))
    covered, start = rng.dirichlet(np.ones(14)).reshape(7, 2), rng.dirichlet(np.ones(7))
    transitions = rng.dirichlet(np.ones(7), size=(7, 2))
    game = game.replace(transitions=Table(transitions), start=start, pairs=pairs, covered=covered)
    tables = map(np.asarray, (game.transitions.probabilities, game.start, *game.pairs, game.covered))
    mine = TabularOracle(*tables, objective=objective, weight=0.2)
    expected = mine.run(40)
    first = state.reward_model._replace(phi=mine.trained(np.zeros((7, 2)))[0])
    state, rows = state._replace(reward_model=first), []
    for _ in range(40):
        state, metrics = program(game, leader, state)
        rows.append(metrics)
    for name in ("true_utility", "proxy_reward", "blind_spot_mass", "kl"):
        recorded = [float(row[name]) for row in rows]
        np.testing.assert_allclose(recorded, expected[name][1:], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(state.theta, expected["theta"], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(state.reward_model.phi, expected["phi"], rtol=1e-10)
