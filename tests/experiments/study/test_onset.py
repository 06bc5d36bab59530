"""What monitors are worth, on runs made by hand."""

import numpy as np
import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments.study.onset import by_time, judged, runs_of, standardised

TIME = np.arange(0, 60, 10)


def made(sign=1.0, falls=(True, False) * 30):
    """Sixty runs, of which twenty choose: half fall from entry 3 on. KL tells a fall two entries before."""
    falls = np.array(falls)
    rising = np.array([0.0, 0.3, 0.6, 0.7, 0.8, 0.9])
    falling = np.array([0.0, 0.3, 0.6, 0.2, 0.1, 0.0])
    warning = np.array([0.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    noise = 0.01 * np.random.default_rng(0).normal(size=(falls.size, 6))
    return {
        "choosing": np.array(20),
        "finite": np.ones(falls.size, bool),
        "time": TIME,
        "gained": np.where(falls[:, None], falling, rising).astype(np.float16),
        "kl": sign * np.where(falls[:, None], warning, 0.0) + noise + 1.0,
        "leverage": np.tile(np.arange(6.0), (falls.size, 1)),
    }


def test_the_runs_that_choose_are_not_those_that_are_judged():
    numbers = made(falls=[True] * 20 + [False] * 40)
    chose, rest = (runs_of(numbers, chosen=chosen) for chosen in (True, False))
    assert (chose.fell.sum(), chose.healthy.sum(), rest.fell.sum(), rest.healthy.sum()) == (20, 0, 0, 40)
    numbers["finite"][:5] = False
    assert runs_of(numbers, chosen=True).fell.sum() == 15


def test_a_monitor_that_tells_is_told_from_one_that_does_not():
    found = judged({"a": made(), "b": made(), "c": made(-1.0)})
    kl, leverage = found["a"]["kl"], found["a"]["leverage"]
    assert (kl.at_onset.mean, kl.at_end.mean, kl.at_onset.n) == (1.0, 1.0, 40)
    assert (leverage.at_onset.mean, leverage.at_end.mean) == (0.5, 0.5)
    assert found["c"]["kl"].at_onset.mean < 0.5  # the highest so far is that of the start
    assert kl.own.in_time.mean == kl.by_time.in_time.mean == 1.0
    assert kl.own.lead.mean == 20.0  # from entry 1 to entry 3
    assert leverage.by_time.detected.mean == 0.0  # healthy runs do not differ in it
    # In c it falls to 0 and is never above 1, but for noise: so b alone sets the threshold there as for a.
    assert kl.others.in_time.mean == 1.0
    assert found["c"]["kl"].others.in_time.mean == 0.0
    assert judged({"a": made()})["a"]["kl"].others is None


def test_alarms_at_the_start_are_told_from_those_on_the_way():
    # The alarm comes at entry 1 in all of the twenty falls that are judged; then in two of them at entry 2.
    early, late = made(), made()
    late["kl"][[20, 22], 1] = 1.0
    for numbers, share in ((early, 1.0), (late, 0.9)):
        runs, choosing = (runs_of(numbers, chosen=chosen) for chosen in (False, True))
        assert runs.warned(*by_time(runs, choosing, "kl")).in_time.mean == 1.0
        assert judged({"a": numbers})["a"]["kl"].at_start.mean == share
    assert np.isnan(judged({"a": made()})["a"]["leverage"].at_start.mean)  # which gives no alarm


def test_without_a_healthy_run_there_is_no_threshold():
    chosen = [True] * 20 + [True, False] * 20
    with pytest.raises(
        InputError,
        match=r"^seeds = 20: must be more, because none of those that choose thresholds in b ends healthy",
    ):
        judged({"a": made(), "b": made(falls=chosen)})


def test_what_is_usual_at_an_iteration_gives_no_alarm():
    # In deviations of 1 and 2 around 1 and 10, by entry: (3 − 1)/1, then (12 − 10)/2 as much again.
    healthy = np.array([[0.0, 8.0], [2.0, 12.0]])
    np.testing.assert_allclose(standardised(np.array([[3.0, 12.0]]), healthy), [[2.0, 2.0]])
    np.testing.assert_allclose(standardised(np.array([[1.0, 16.0]]), healthy), [[0.0, 3.0]])
