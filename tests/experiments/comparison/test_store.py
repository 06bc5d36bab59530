"""Trials on disk: whole or not there, and never those of another question."""

import numpy as np
import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments.comparison import store
from fpo_jax.experiments.comparison.methods import Method, Place
from fpo_jax.experiments.comparison.table import markdown
from fpo_jax.experiments.comparison.trial import Runs, Trial

PLACE = Place("bandit, α = 0.1", {"environment": "bandit", "alpha": 0.1}, tuning=2, seeds=3)
METHOD = Method("χ² to the start", {"objective": "chi-squared"}, "weight", (0.1, 1.0))


def runs(values, seeds):
    shape, rng = (values, seeds), np.random.default_rng(values)
    return Runs(*(rng.random(shape) for _ in range(4)), np.array(1), np.array(0.5), rng.random(shape))


TRIAL = Trial(np.array(METHOD.values), runs(2, 2), 1, runs(1, 3))


@pytest.fixture
def written(tmp_path):
    path, asked = store.file_of(tmp_path, PLACE, METHOD), store.asked_of(PLACE, METHOD)
    store.write(path, TRIAL, asked, "fpo-jax reproduce --only mitigations")
    return path, asked


def test_a_trial_is_read_as_it_was_written(written):
    path, asked = written
    assert path.name.isascii()
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # nothing is left aside
    found = store.read(path, asked)
    assert (found.chosen, found.undefined) == (1, "")
    for mine, theirs in zip(
        (found.values, *found.tuning, *found.judged),
        (TRIAL.values, *TRIAL.tuning, *TRIAL.judged),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_a_trial_that_was_stored_before_regret_was_measured_is_read_without_it(tmp_path):
    without = TRIAL._replace(**{name: Runs(*getattr(TRIAL, name)[:-1]) for name in ("tuning", "judged")})
    path, asked = store.file_of(tmp_path, PLACE, METHOD), store.asked_of(PLACE, METHOD)
    arrays = {key: v for key, v in store._flat(without).items() if not key.endswith("regret")}
    store.parts.write_part(path, arrays, asked, "fpo-jax reproduce --only mitigations", "float32")
    found = store.read(path, asked)
    np.testing.assert_array_equal(found.judged.gained, TRIAL.judged.gained)
    assert np.isnan(found.judged.regret)
    assert "regret" not in markdown(PLACE, [METHOD], {METHOD.label: found})
    assert "| regret |" in markdown(PLACE, [METHOD], {METHOD.label: TRIAL})


def test_a_trial_of_another_question_is_refused(written):
    path, _ = written
    other = store.asked_of(PLACE._replace(seeds=4), METHOD)
    with pytest.raises(InputError, match="seeds = 3: must be from this experiment, with seeds = 4"):
        store.read(path, other)


def test_what_is_missing_or_damaged_is_computed_again(written, tmp_path):
    path, asked = written
    assert store.read(tmp_path / "none.npz", asked) is None
    path.write_bytes(path.read_bytes()[:-40])
    assert store.read(path, asked) is None
