"""A trial: the rule by which a number is chosen, the seeds that judge, and what a failure counts."""

import jax
import numpy as np
import pytest

from fpo_jax import Leader, Relaxed, outcome, run_seeds, seed_keys
from fpo_jax.envs.bandit import Bandit
from fpo_jax.errors import InputError
from fpo_jax.experiments.comparison.methods import METHODS, PLACES, WEIGHTS, Method, Place, logarithmic
from fpo_jax.experiments.comparison.trial import FIRST_TUNING, NOTHING, Runs, Trial, compared
from fpo_jax.followers import BestResponse
from fpo_jax.statistics import collapsed, share_gained
from fpo_jax.types import KNOWS

PLACE = Place("bandit", {"environment": "bandit", "steps": 40, "policy_lr": 5.0}, tuning=3, seeds=4)
METHOD = Method("relaxed", {"objective": "relaxed"}, "weight", (0.01, 1.0))


@pytest.fixture(scope="module")
def trial():
    return compared(PLACE, METHOD)


def alone(weight, first, seeds):
    """Return true utility [seed, step] and the optimum of runs by `run_seeds`, without a sweep."""
    leader = Leader(Relaxed(weight=weight), policy_lr=5.0)
    players = Bandit(), leader, BestResponse(alpha=0.3, ridge=0.1)
    with jax.enable_x64(False):
        keys = seed_keys(seeds, first)
        _, trace = run_seeds(*players, keys, steps=40, record=outcome)
    with jax.enable_x64(True):
        from fpo_jax.engine.initial import instance

        best = [float(instance(Bandit(), key).optimum()) for key in seed_keys(seeds, first)]
    return np.asarray(trace.metrics["true_utility"]), np.array(best)


def test_the_rule_takes_the_value_of_the_highest_mean_on_the_seeds_that_tune(trial):
    means = [share_gained(*alone(w, FIRST_TUNING, 3))[:, -1].mean() for w in METHOD.values]
    np.testing.assert_allclose(trial.tuning.gained.mean(axis=1), means, rtol=1e-4)
    assert trial.chosen == np.argmax(means)


def test_other_seeds_judge_the_chosen_value(trial):
    utility, best = alone(METHOD.values[trial.chosen], 0, 4)
    np.testing.assert_allclose(trial.judged.gained[0], share_gained(utility, best)[:, -1], rtol=1e-4)
    np.testing.assert_allclose(trial.judged.utility[0], utility[:, -1], rtol=1e-4)
    lost = 1.0 - share_gained(utility, best)[:, 1:]  # nothing was decided before entry 1
    np.testing.assert_allclose(trial.judged.regret[0], lost.mean(axis=1), rtol=1e-4)
    np.testing.assert_array_equal(trial.judged.collapsed[0], collapsed(utility, best))


def test_no_tuning_seed_judges():
    with pytest.raises(InputError, match=r"^seeds = 1001: must be at most 1000: the tuning seeds"):
        compared(PLACE._replace(seeds=1001), METHOD)


def test_a_run_that_diverges_gains_nothing_and_collapses():
    place = Place("linear", {"environment": "linear", "steps": 20, "rm_lr": 1e4}, tuning=2, seeds=2)
    found = compared(place, Method("RLHF", {"objective": "myopic"}))
    assert found.judged.diverged == 2
    assert found.judged.collapsed.all()
    assert not found.judged.gained.any()
    np.testing.assert_array_equal(found.judged.regret, 1.0)


def test_a_method_that_is_not_defined_says_why():
    place = Place("linear", {"environment": "linear", "steps": 5}, tuning=2, seeds=2)
    found = compared(place, Method("KL", {"objective": "kl"}, "weight", (0.1,)))
    assert not found.defined
    assert "not a table of fixed responses" in found.undefined


@pytest.mark.parametrize(
    ("falls", "factor"),
    [
        ([0, 0, 0, 0], 1000.0),
        ([1, 0, 0, 1], 10.0),
        ([0, 1, 0, 0], 10.0),  # the range ends at the value that fails
        ([1, 0, 1, 1], 1.0),
        ([1, 1, 1, 1], 0.0),
    ],
)
def test_the_safe_range_is_a_row_of_values_at_which_no_seed_falls(falls, factor):
    fell = np.array(falls, bool)[:, None] & np.array([False, True])  # one seed of two is enough
    runs = Runs(fell, fell, fell, fell, np.array(0), np.array(1.0))
    found = Trial(np.array([0.01, 0.1, 1.0, 10.0]), runs, 0, NOTHING).safe_factor()
    assert found == pytest.approx(factor)


def test_every_method_tries_as_many_values():
    assert {len(m.values) for m in METHODS if m.tuned} == {len(WEIGHTS)} == {13}
    assert logarithmic(-1, 0) == (0.1, 0.316, 1.0)
    assert {m.knows for m in METHODS} <= {*KNOWS}
    assert len({m.label for m in METHODS}) == len(METHODS)
    assert len({p.label for p in PLACES}) == len(PLACES)
