"""Where actions lead: one table or few branches, and the linear solves of either."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax.envs.parts import transitions
from fpo_jax.envs.parts.transitions import Branches

STATES, DISCOUNT = 60, 0.9
CHAIN = Branches(jnp.minimum(jnp.arange(STATES) + 1, STATES - 1)[:, None, None], jnp.ones((STATES, 1, 1)))
"""One action, one step ahead; the last state leads to itself."""
POLICY = jnp.ones((STATES, 1))


@pytest.mark.parametrize("helped", [True, False], ids=["GMRES", "contraction alone"])
def test_a_long_chain_is_solved_even_where_gmres_comes_to_a_halt(helped, monkeypatch):
    # From state 0: discounted visits are γ^i, and γ^i / (1 − γ) at the last state, which is never left.
    if not helped:
        monkeypatch.setattr(transitions, "gmres", lambda matvec, right, **how: (jnp.zeros_like(right), None))
    start = jnp.zeros(STATES).at[0].set(1.0)
    visits = jax.jit(lambda right: CHAIN.solve(POLICY, DISCOUNT, right, transpose=True))(start)
    expected = DISCOUNT ** np.arange(STATES)
    expected[-1] /= 1.0 - DISCOUNT
    np.testing.assert_allclose(visits, expected, rtol=0, atol=1e-12)


def test_branches_and_their_table_lead_to_the_same_states():
    # Two branches to one state add up.
    branches = Branches(
        jnp.array([[[0, 1], [1, 1]], [[1, 0], [0, 0]]]),
        jnp.array([[[0.3, 0.7], [0.4, 0.6]], [[0.9, 0.1], [0.5, 0.5]]]),
    )
    table = branches.table()
    np.testing.assert_allclose(
        table.probabilities, [[[0.3, 0.7], [0.0, 1.0]], [[0.1, 0.9], [1.0, 0.0]]], rtol=1e-15
    )
    policy, values = jnp.array([[0.2, 0.8], [0.6, 0.4]]), jnp.array([2.0, -1.0])
    for one in (branches, table):
        # (P V)(s, a): .3·2 − .7, −1, .1·2 − .9, 2
        np.testing.assert_allclose(one.ahead(values), [[-0.1, -1.0], [-0.7, 2.0]], rtol=1e-12)
        # P_π V: .2·(−.1) + .8·(−1), .6·(−.7) + .4·2
        np.testing.assert_allclose(one.ahead_under(policy, values), [-0.82, 0.38], rtol=1e-12)
        # Pᵀ_π V: P_π = [[.06, .94], [.46, .54]]
        np.testing.assert_allclose(one.push(policy, values), [0.12 - 0.46, 1.88 - 0.54], rtol=1e-12)
        for transpose in (False, True):
            under = np.array([[0.06, 0.94], [0.46, 0.54]])
            matrix = np.eye(2) - 0.9 * (under.T if transpose else under)
            found = one.solve(policy, 0.9, values, transpose=transpose)
            np.testing.assert_allclose(found, np.linalg.solve(matrix, values), rtol=1e-11)
