"""What monitors are worth, on runs made by hand."""

import numpy as np

from fpo_jax.experiments.study.onset import elsewhere, judged, runs_of, standardised

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
    found = judged({"a": made(), "b": made(), "a, practical": made(-1.0)})
    kl, leverage = found["a"]["kl"], found["a"]["leverage"]
    assert (kl.at_onset.mean, kl.at_end.mean, kl.at_onset.n) == (1.0, 1.0, 40)
    assert (leverage.at_onset.mean, leverage.at_end.mean) == (0.5, 0.5)
    assert found["a, practical"]["kl"].at_onset.mean < 0.5  # the highest so far is that of the start
    assert kl.own.in_time.mean == kl.by_time.in_time.mean == 1.0
    assert kl.own.lead.mean == 20.0  # from entry 1 to entry 3
    assert leverage.by_time.detected.mean == 0.0  # healthy runs do not differ in it
    # of b alone: another objective in the same environment is no other environment
    assert kl.others.in_time.mean == 1.0
    assert not elsewhere("a, practical", "a")


def test_what_is_usual_at_an_iteration_gives_no_alarm():
    # In deviations of 1 and 2 around 1 and 10, by entry: (3 − 1)/1, then (12 − 10)/2 as much again.
    healthy = np.array([[0.0, 8.0], [2.0, 12.0]])
    np.testing.assert_allclose(standardised(np.array([[3.0, 12.0]]), healthy), [[2.0, 2.0]])
    np.testing.assert_allclose(standardised(np.array([[1.0, 16.0]]), healthy), [[0.0, 3.0]])
