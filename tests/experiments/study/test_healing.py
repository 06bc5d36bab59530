"""Where half of the seeds heal, and by what the policy is said to have been paid."""

import jax
import numpy as np
import pytest

from fpo_jax import Leader, Myopic
from fpo_jax.experiments import healing
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.study.healing import ALPHAS, RIDGES, boundary, paid
from fpo_jax.followers import Monitored
from fpo_jax.run import initial_state, iterate
from fpo_jax.statistics import mean_interval
from tests.helpers import SMALL


def test_the_boundary_is_where_half_heal():
    healthy = np.array(
        [[1.0, 0.75, 0.25, 0.0], [0.4, 0.2, 0.0, 0.0], [1.0, 1.0, 1.0, 0.6], [0.3, 0.5, 0.0, 0.0]]
    )
    np.testing.assert_allclose(boundary(healthy), [1.5, -0.5, 3.5, 1.0])


def made(early, fell, end):
    """The numbers of a pipeline in which a seed is the same in every cell, [3, 5, 5, seed, 3 or none]."""
    cells = (3, len(ALPHAS), len(RIDGES), len(end))
    gained = np.stack([np.zeros(len(end)), np.where(early, 0.0, 1.0), end], axis=1)
    return {
        "gained": np.broadcast_to(gained, (*cells, 3)),
        "overestimate": np.broadcast_to(2.0 * gained, (*cells, 3)),
        "collapsed": np.broadcast_to(fell, cells),
    }


def test_a_seed_counts_once_however_many_cells_it_is_in():
    # 16 instances in 25 cells, in all of which they fare alike: the intervals are those of 16 values.
    end, number = np.random.default_rng(0).normal(0.5, 0.2, 16), np.arange(16)
    early, fell = number < 12, number % 3 == 0
    table = healing.rows({healing.PIPELINES[0].label: made(early, fell, end)})
    assert [row["restart"] for row in table] == ["reset", "interpolated", "kept"]
    row = table[0]
    for name, values in (("end", end), ("over_last", 2.0 * end)):
        own = mean_interval(values)
        found = [row[name], row[f"{name}_low"], row[f"{name}_high"]]
        np.testing.assert_allclose(found, own[:3], rtol=1e-9)
    # Of the 12 that were bad 8 healed. Drawn with replacement, the 16 hold a binomial number of either kind:
    # the ends of the share are those of resamples of NumPy's, to the grid of shares of about 12.
    kinds = np.random.default_rng(1).multinomial(16, [8 / 16, 4 / 16, 4 / 16], 20_000)
    ends = np.quantile(kinds[:, 0] / kinds[:, :2].sum(axis=1), [0.025, 0.975])
    assert row["healed"] == pytest.approx(8 / 12)
    np.testing.assert_allclose([row["healed_low"], row["healed_high"]], ends, atol=0.02)
    # Of the other 4, 12 to 15, two fell: 12 and 15.
    assert row["spoilt"] == pytest.approx(0.5)


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
