"""Where half of the seeds heal, and by what the policy is said to have been paid."""

import jax
import numpy as np
import pytest

from fpo_jax import Leader, Myopic
from fpo_jax.experiments import healing
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.study.healing import boundary, paid
from fpo_jax.followers import Monitored
from fpo_jax.run import initial_state, iterate
from tests.helpers import SMALL


def test_the_boundary_is_where_half_heal():
    healthy = np.array(
        [[1.0, 0.75, 0.25, 0.0], [0.4, 0.2, 0.0, 0.0], [1.0, 1.0, 1.0, 0.6], [0.3, 0.5, 0.0, 0.0]]
    )
    np.testing.assert_allclose(boundary(healthy), [1.5, -0.5, 3.5, 1.0])


def test_the_overestimate_is_that_of_the_reward_that_paid(key):
    _, _, member = resolve({"environment": "bandit"}).build()
    game, follower = SMALL["bandit"].draw(key), Monitored(follower=member)
    first = initial_state(game, follower, key)
    state = iterate(game, Leader(Myopic(), policy_lr=5.0), follower, first, key, 0.0)
    w = np.asarray(jax.nn.softmax(state.theta))
    reward = np.asarray(game.arms.features) @ np.asarray(first.reward_model.phi)
    found = paid(game, follower, state, key)
    np.testing.assert_allclose(
        found["overestimate"], w @ (reward - np.asarray(game.arms.quality)), rtol=1e-12
    )
    assert abs(found["overestimate"] - found["gap"]) > 1e-3  # which is of the reward model once retrained


@pytest.mark.parametrize("pipeline", healing.PIPELINES, ids=lambda one: one.label)
def test_pipelines_differ_as_they_say(pipeline):
    restart = pipeline.restarts[0]
    settings = resolve(pipeline.wishes(0.1, 0.01, restart))
    environment, leader, follower = settings.build()
    kept = getattr(follower, "member", follower)
    assert (environment.name, kept.keep, kept.alpha, kept.ridge) == (
        pipeline.environment, pipeline.keep, 0.1, 0.01
    )  # fmt: skip
    assert kept.feedback.label_budget == healing.LABELS
    assert leader.policy_steps == pipeline.policy_steps
    assert getattr(follower, "combine", "last") == pipeline.reward
    assert leader.keeps == (pipeline.restarts != ("kept",))
