"""States of a run in a file, by name."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.runs import states
from fpo_jax.leader import WithStart
from fpo_jax.types import RewardModel, State
from tests.helpers import LONG_RUN, arrays, call


def test_states_are_written_by_name(finished, capsys, tmp_path):
    written = arrays(finished / "whole", "states.npz")
    # 4 coordinates of θ and of φ of each of 3 seeds at 201 entries; a gradient step remembers nothing
    assert {name: values.shape for name, values in written.items()} == {
        "seed": (3,),
        "iteration": (201,),
        "theta": (3, 201, 4),
        "phi": (3, 201, 4),
    }
    np.testing.assert_array_equal(written["theta"][:, 0], 0.0)  # where its runs start
    utility = arrays(finished / "whole", "metrics.npz")["true_utility"]
    distance = np.sum((written["theta"] - np.array([2.0, 2.0, 2.0, 0.0])) ** 2, axis=-1)
    np.testing.assert_allclose(utility, 10.0 * np.exp(-0.3 * distance), rtol=1e-12)
    status, _, err = call(capsys, *LONG_RUN, "--out", tmp_path / "final")
    assert status == 0, err
    final = arrays(tmp_path / "final", "states.npz")
    np.testing.assert_array_equal(final["iteration"], [200])
    np.testing.assert_allclose(final["theta"], written["theta"][:, -1:], rtol=1e-12)


def test_names_of_states_lead_back():
    memory = (jnp.arange(3), {"m": jnp.full((2, 2), 0.1, jnp.bfloat16)})
    state = State({"a": jnp.ones(2), "b": [jnp.zeros(())]}, RewardModel(jnp.ones(3), memory))
    named = states.named(state)
    assert set(named) == {"theta/a", "theta/b/0", "phi", "memory/0", "memory/1/m"}
    as_stored = {n: v.view("V2") if v.dtype == jnp.bfloat16 else v for n, v in named.items()}
    chex.assert_trees_all_equal(states.from_named(as_stored, state), state)
    held = state._replace(earlier=jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), state.theta))
    named = states.named(held)
    assert {"earlier/a", "earlier/b/0"} < set(named)
    as_stored = {n: v.view("V2") if v.dtype == jnp.bfloat16 else v for n, v in named.items()}
    chex.assert_trees_all_equal(states.from_named(as_stored, held), held)
    settings = resolve({"environment": "linear", "seeds": 3, "steps": 9, "dimension": 4})
    assert states.size(settings) == 3 * 10 * (4 + 4) * 8


def test_the_size_of_states_counts_members_and_earlier_policies():
    # a policy of 24 arms and two that it is held to; four members of two parameters, whose anchors and a
    # key of two words of 32 bits are remembered
    ensemble = {"environment": "bandit", "follower": "ensemble", "seeds": 1, "steps": 1}
    settings = resolve({**ensemble, "objective": "kl", "to": "earlier", "lag": 2})
    assert states.size(settings) == 2 * ((24 + 2 * 24 + 4 * 2 + 4 * 2) * 8 + 2 * 4)


def test_earlier_policies_are_kept_with_the_state_of_a_run_held_to_them():
    held = {"environment": "bandit", "objective": "kl", "to": "earlier", "lag": 3, "seeds": 2, "steps": 4}
    like, _ = states.initial_shape(resolve(held))
    assert like.earlier.shape == (3, 24)
    state = State(jnp.ones(24), RewardModel(jnp.ones(2), jnp.zeros(2)), jnp.full((3, 24), 0.1))
    chex.assert_trees_all_equal(states.from_named(states.named(state), like), state)


def test_the_start_is_kept_beside_what_an_objective_keeps_where_the_policy_restarts():
    held = {"environment": "bandit", "objective": "kl", "to": "earlier", "lag": 3, "restart": "reset"}
    like, _ = states.initial_shape(resolve(held))
    state = State(
        jnp.ones(24), RewardModel(jnp.ones(2), jnp.zeros(2)), WithStart(jnp.zeros(24), jnp.full((3, 24), 0.1))
    )
    named = states.named(state)
    assert {"earlier/first", "earlier/own"} < set(named)
    chex.assert_trees_all_equal(states.from_named(named, like), state)
