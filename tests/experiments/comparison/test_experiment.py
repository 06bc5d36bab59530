"""A comparison as an experiment: it goes on where it stopped, and writes table, page and figures."""

import csv

import pytest

from fpo_jax.experiments import mitigations
from fpo_jax.experiments.cli import claims
from fpo_jax.experiments.comparison import experiment
from fpo_jax.experiments.comparison.methods import Method, Place
from fpo_jax.experiments.comparison.trial import FIRST_TUNING
from fpo_jax.experiments.core.progress import Progress
from fpo_jax.experiments.reproduce.job import reproduce

PLACES = (
    Place("bandit", {"environment": "bandit"}, tuning=2, seeds=2),
    Place("linear", {"environment": "linear"}, tuning=2, seeds=2),
)
METHODS = (
    Method("RLHF", {"objective": "myopic"}),
    Method("KL to the start", {"objective": "kl"}, "weight", (0.1, 1.0)),
)
COMPARISONS = {n: one for n, one in claims.discover().items() if isinstance(one, experiment.Comparison)}


@pytest.mark.parametrize("name", COMPARISONS)
def test_values_rise_and_no_tuning_seed_judges(name):
    assert all(place.seeds <= FIRST_TUNING for place in COMPARISONS[name].places)
    methods = COMPARISONS[name].methods
    # of equal means the rule takes the first, which is to be the smallest; a label names a file
    for method in methods:
        assert method.values == tuple(sorted(set(method.values))), method.label
        assert bool(method.tuned) == bool(method.values), method.label
    assert len({method.label for method in methods}) == len(methods)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(mitigations, "PLACES", PLACES)
    monkeypatch.setattr(mitigations, "METHODS", METHODS)
    return experiment.Comparison(
        **{**vars(mitigations.EXPERIMENT), "places": PLACES, "methods": METHODS, "settings": {"steps": 5}}
    )


def test_an_interrupted_comparison_goes_on_and_a_finished_one_computes_nothing(small, monkeypatch, tmp_path):
    computed = []

    def counted(place, method, *arguments, **more):
        if len(computed) == 2:
            raise KeyboardInterrupt
        computed.append((place.label, method.label))
        return compared(place, method, *arguments, **more)

    compared = experiment.compared
    monkeypatch.setattr(experiment, "compared", counted)
    kept = small.kept_in(tmp_path / "parts")
    (tmp_path / "out").mkdir()
    with Progress(disable=True) as progress:
        with pytest.raises(KeyboardInterrupt):
            kept.write(tmp_path / "out", 2, progress)
        monkeypatch.setattr(experiment, "compared", compared)
        rows, section = kept.write(tmp_path / "out", 2, progress)
        monkeypatch.setattr(experiment, "compared", None)  # would fail if it were called
        again, _ = kept.write(tmp_path / "out", 2, progress)
    assert computed == [("bandit", "RLHF"), ("bandit", "KL to the start")]
    assert rows == again
    assert [row["undefined"] == "" for row in rows] == [True, True, True, False]
    assert "| KL to the start | nothing | not defined here |" in section.markdown()
    assert {path.suffix for path in section.pictures} == {".png"}
    assert section.paragraphs[-1].startswith("Computing the numbers took ")
    with (tmp_path / "out" / "table.csv").open(encoding="utf-8") as file:
        assert [row["method"] for row in csv.DictReader(file)] == [m.label for m in METHODS] * 2


@pytest.mark.slow
def test_the_small_form_of_the_whole_comparison(tmp_path):
    reproduce({"mitigations": mitigations.EXPERIMENT}, tmp_path / "out", ["mitigations"], quick=True)
    with (tmp_path / "out" / "mitigations" / "table.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(mitigations.METHODS)
    assert all(row["undefined"] or row["gained"] for row in rows)
