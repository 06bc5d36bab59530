"""Trials on disk: whole or not there, and never those of another question."""

import numpy as np
import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments.comparison import store
from fpo_jax.experiments.comparison.methods import Method, Place
from fpo_jax.experiments.comparison.table import markdown
from fpo_jax.experiments.comparison.trial import Runs, Trial
from fpo_jax.experiments.core import parts

PLACE = Place("bandit, α = 0.1", {"environment": "bandit", "alpha": 0.1}, tuning=2, seeds=3)
METHOD = Method("χ² to the start", {"objective": "chi-squared"}, "weight", (0.1, 1.0))


def runs(values, seeds):
    shape, rng = (values, seeds), np.random.default_rng(values)
    return Runs(*(rng.random(shape) for _ in range(4)), np.array(1), np.array(0.5), rng.random(shape))


TRIAL = Trial(np.array(METHOD.values), runs(2, 2), 1, runs(1, 3))


COMMAND = "fpo-jax reproduce --only mitigations"


def never():
    raise AssertionError("a trial that is kept is computed again")


@pytest.fixture
def written(tmp_path):
    store.kept_or_computed(tmp_path, PLACE, METHOD, lambda: TRIAL, COMMAND)
    return tmp_path, store.file_of(tmp_path, PLACE, METHOD)


def test_a_trial_is_read_as_it_was_written(written):
    folder, path = written
    assert path.name.isascii()
    assert [*folder.iterdir()] == [path]  # nothing is left aside
    found, _ = store.kept_or_computed(folder, PLACE, METHOD, never, COMMAND)
    assert (found.chosen, found.undefined) == (1, "")
    for mine, theirs in zip(
        (found.values, *found.tuning, *found.judged),
        (TRIAL.values, *TRIAL.tuning, *TRIAL.judged),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_a_trial_that_was_stored_before_regret_was_measured_is_read_without_it(written):
    folder, path = written
    asked = store.asked_of(PLACE, METHOD)
    arrays = parts.read_part(path, asked).arrays
    older = {name: values for name, values in arrays.items() if not name.endswith("regret")}
    parts.write_part(path, parts.Kept(older), asked, COMMAND, "float32")
    found, took = store.kept_or_computed(folder, PLACE, METHOD, never, COMMAND)
    np.testing.assert_array_equal(found.judged.gained, TRIAL.judged.gained)
    assert np.isnan(found.judged.regret)
    assert np.isnan(took)
    assert "regret" not in markdown(PLACE, [METHOD], {METHOD.label: found})
    assert "| regret |" in markdown(PLACE, [METHOD], {METHOD.label: TRIAL})


def test_a_trial_of_another_question_is_refused(written):
    folder, _ = written
    fewer = PLACE._replace(seeds=4)
    with pytest.raises(InputError, match="seeds = 3: must be from this experiment, with seeds = 4"):
        store.kept_or_computed(folder, fewer, METHOD, never, COMMAND)


def test_a_damaged_trial_is_computed_again(written):
    folder, path = written
    asked, whole = store.asked_of(PLACE, METHOD), path.read_bytes()
    arrays = parts.read_part(path, asked).arrays
    path.write_bytes(whole[:-40])
    store.kept_or_computed(folder, PLACE, METHOD, lambda: TRIAL, COMMAND)
    assert parts.read_part(path, asked).arrays.keys() == arrays.keys()
    del arrays["judged/gained"]
    parts.write_part(path, parts.Kept(arrays), asked, COMMAND, "float32")
    found, _ = store.kept_or_computed(folder, PLACE, METHOD, lambda: TRIAL, COMMAND)
    np.testing.assert_array_equal(found.judged.gained, TRIAL.judged.gained)
