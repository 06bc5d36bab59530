"""What is recorded of a state, and when it is finite."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax import Exact, Leader, run_seed
from fpo_jax.record import defined, is_finite
from fpo_jax.types import RewardModel, State
from tests.helpers import FOLLOWER, SMALL


def test_record_sees_what_it_says(key):
    environment, follower = SMALL["bandit"], FOLLOWER["bandit"]
    _, trace = run_seed(
        environment, Leader(Exact(), policy_lr=1.0), follower, key, steps=10, keep_states=True
    )
    metrics = trace.metrics
    chex.assert_shape([*metrics.values()], (11,))
    np.testing.assert_allclose(metrics["gap"], metrics["proxy_reward"] - metrics["true_utility"])
    assert metrics["kl"][0] == pytest.approx(0.0, abs=1e-15)  # the first policy is the reference itself
    assert metrics["blind_spot_mass"][0] == pytest.approx(2 / 7)  # uniform on 5 ordinary, 2 planted arms
    assert np.all((metrics["steering_cosine"] >= -1) & (metrics["steering_cosine"] <= 1))
    policy = jax.nn.softmax(trace.state.theta, axis=1)
    np.testing.assert_allclose(policy[:, 5:].sum(axis=1), metrics["blind_spot_mass"], rtol=1e-12)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_one_number_that_is_not_finite_is_seen_wherever_it_stands(bad):
    state = State(
        jnp.ones(3), RewardModel(jnp.ones((2, 2)), (jnp.asarray(4), jnp.ones((2, 3, 1)), jnp.ones(())))
    )
    assert is_finite((state, defined({"steering_cosine": jnp.nan, "gap": 1e300})))
    assert not is_finite((state, defined({"gap": jnp.asarray(bad)})))
    leaves, structure = jax.tree.flatten(state)
    for i, leaf in enumerate(leaves):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            changed = leaf.ravel().at[-1].set(bad).reshape(leaf.shape)
            assert not is_finite(structure.unflatten([*leaves[:i], changed, *leaves[i + 1 :]]))
