"""What is closed of the distance to an oracle, and trials that lie beside those of another comparison."""

import dataclasses

import numpy as np

from fpo_jax.experiments import mitigations, oracle_free
from fpo_jax.experiments.comparison import experiment
from fpo_jax.experiments.comparison.methods import Method, Place
from fpo_jax.experiments.comparison.trial import NOTHING, Runs, Trial
from fpo_jax.experiments.core.progress import Progress
from fpo_jax.experiments.oracle_free import ORACLES, PRACTICAL, closed


def trial(gained, values=(0.1, 1.0), chosen=1):
    one = np.asarray(gained, float)[None]
    runs = NOTHING._replace(
        gained=one, collapsed=one < 0, blind_spot=0 * one, utility=one, diverged=np.array(0)
    )
    tuning = Runs(*(np.repeat(x, len(values), 0) if x.ndim else x for x in runs))
    return Trial(np.array(values), tuning, chosen, runs)


def test_the_share_that_is_closed_is_one_of_sums_over_paired_seeds():
    # (0.3 + 0.6 + 0 + 0.3) / (0.4 + 0.8 + 0.4 + 0.4) = 0.6, where a mean of ratios would be 0.5625
    practical = np.array([0.5, 0.1, 0.5, 0.5])
    oracle = np.array([0.9, 0.9, 0.9, 0.9])
    share = closed(practical, oracle, practical + np.array([0.3, 0.6, 0.0, 0.3]))
    np.testing.assert_allclose(share.mean, 0.6, rtol=1e-12)
    assert share.low < 0.6 < share.high
    assert closed(practical, oracle, oracle).low == closed(practical, oracle, oracle).high == 1.0


def test_the_better_oracle_and_the_same_seeds_are_what_a_method_is_compared_with():
    # the other comparison judged six seeds; relaxed is better on all six, proximal on the first four
    beside = {
        PRACTICAL: trial([0.0, 0.0, 0.0, 0.0, 1.0, 1.0]),
        ORACLES[0]: trial([0.5, 0.5, 0.5, 0.5, 1.0, 1.0]),
        ORACLES[1]: trial([0.8, 0.8, 0.8, 0.8, 0.0, 0.0]),
    }
    ours = {method.label: trial([0.6, 0.6, 0.6, 0.6]) for method in oracle_free.METHODS}
    said = oracle_free.findings({"here": ours}, {"here": beside})
    assert "proximal FPO, 0.800" in said
    assert "0.75 [0.75, 0.75]; gains 0.600 at 1" in said
    drawn = oracle_free.draw_figures({"here": ours}, {"here": beside})
    assert set(drawn) == {"oracle_free"}


PLACE = Place("bandit", {"environment": "bandit"}, tuning=2, seeds=2)


def test_trials_of_the_other_comparison_lie_beside_ours(tmp_path, monkeypatch):
    settings = {"steps": 2}
    methods = (
        Method("RLHF", {"objective": "myopic"}),
        *(Method(label, {"objective": "practical"}, "weight", (0.1,)) for label in (PRACTICAL, *ORACLES)),
    )
    theirs = PLACE._replace(seeds=3)  # as of `mitigations`, which judges by more seeds
    other = dataclasses.replace(mitigations.EXPERIMENT, places=(theirs,), methods=methods, settings=settings)
    ours = tuple(method._replace(values=(0.1,)) for method in oracle_free.METHODS)
    own = dataclasses.replace(
        oracle_free.EXPERIMENT, places=(PLACE,), methods=ours, settings=settings, beside=other
    )
    found, judged = trial([0.5, 0.6], values=(0.1,), chosen=0), []

    def compared(place, method, tell, **more):
        judged.append((method.label, place.seeds))
        return found

    monkeypatch.setattr(experiment, "compared", compared)
    (tmp_path / "out").mkdir()
    with Progress(disable=True) as progress:
        kept = own.kept_in(tmp_path / "parts")
        rows, section = kept.write(tmp_path / "out", 2, progress)
    folders = {path.parent.name: set() for path in (tmp_path / "parts").rglob("*.npz")}
    for path in (tmp_path / "parts").rglob("*.npz"):
        folders[path.parent.name].add(path.stem)
    assert set(folders) == {"oracle-free", "mitigations"}
    assert len(folders["mitigations"]) == 3  # RLHF is none of what we stand beside
    assert [row["method"] for row in rows] == [method.label for method in ours]
    closing = next(line for line in section.markdown().splitlines() if line.startswith(f"| {PLACE.label} | "))
    assert closing.count(" at 0.1") == sum(bool(method.tuned) for method in ours) < len(ours)
    ends = {(label, 3) for label in (PRACTICAL, *ORACLES)}
    assert set(judged) == ends | {(method.label, 2) for method in oracle_free.METHODS}


def test_only_the_method_that_says_so_knows_more_than_labels():
    more = [method.label for method in oracle_free.METHODS if method.knows == "U at will"]
    assert more == ["bounded leverage, which knows U"]
    allowed = {"nothing", "the follower's inputs", "the follower's labels", "U at will"}
    assert {method.knows for method in oracle_free.METHODS} <= allowed
