"""What is kept beside a run changes nothing of it."""

import jax
import numpy as np
import pytest

from fpo_jax import BestResponse, Exact, Gradient, Leader, outcome, run_seed
from fpo_jax.engine.initial import instance
from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.linear import Linear
from fpo_jax.errors import InputError
from fpo_jax.followers import Ensemble, Monitored
from fpo_jax.hyperparameters import validate

MEMBER = BestResponse(ridge=0.1, alpha=0.3)
CASES = {
    "best response": (Bandit(ordinary=5, planted=2), MEMBER, Ensemble(members=2, member=MEMBER)),
    "descent": (Linear(dimension=4), Gradient(rm_lr=0.02, rm_steps=2), None),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_is_the_run_without_it_and_the_last_model_is_kept(case, key):
    environment, own, beside = CASES[case]
    settings = {"steps": 3, "record": outcome, "keep_states": True}
    leader = Leader(Exact(), policy_lr=0.5)
    _, plain = run_seed(environment, leader, own, key, **settings)
    _, watched = run_seed(environment, leader, Monitored(follower=own, beside=beside), key, **settings)
    for name, values in plain.metrics.items():
        np.testing.assert_allclose(watched.metrics[name], values, rtol=1e-12, err_msg=name)
    kept = watched.state.reward_model.memory
    # of each entry: φ one entry before, and θ₀
    np.testing.assert_allclose(kept.before[1:], plain.state.reward_model.phi[:-1], rtol=1e-12)
    np.testing.assert_array_equal(kept.before[0], watched.state.reward_model.phi[0])
    np.testing.assert_allclose(kept.first, np.broadcast_to(plain.state.theta[0], kept.first.shape))


def test_members_are_those_of_an_ensemble_at_the_same_policies(key):
    environment, own, beside = CASES["best response"]
    leader = Leader(Exact(), policy_lr=0.5)
    _, watched = run_seed(
        environment, leader, Monitored(follower=own, beside=beside), key, steps=2, keep_states=True
    )
    members, thetas = watched.state.reward_model.memory.members, watched.state.theta
    game = jax.jit(lambda: beside.faced(instance(environment, key)))()
    assert members.phi.shape == (3, 2, 2)
    for entry in (1, 2):
        before = jax.tree.map(lambda leaf, at=entry - 1: leaf[at], members)
        alone = jax.jit(beside.update)(game, thetas[entry], before, key)
        np.testing.assert_allclose(members.phi[entry], alone.phi, rtol=1e-9)
    # which says something: members differ, and so do policies
    assert np.all(np.abs(members.phi[:, 0] - members.phi[:, 1]) > 1e-6)
    assert np.all(np.abs(np.diff(members.phi, axis=0)) > 1e-6)


def test_what_cannot_be_is_refused():
    with pytest.raises(
        InputError, match=r"^follower = monitored: must be another one: this one is already monitored"
    ):
        validate(Monitored(follower=Monitored()))
    with pytest.raises(
        InputError, match=r"^beside = an ensemble: must be nothing, where the follower is ens"
    ):
        validate(Monitored(follower=Ensemble(), beside=Ensemble()))
