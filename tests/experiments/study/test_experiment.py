"""A study as an experiment: it goes on where it stopped, and refuses numbers of another question."""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments import endings, healing, onset, residual_steering, retraining
from fpo_jax.experiments.core.progress import Progress, silent
from fpo_jax.experiments.reproduce.job import reproduce
from fpo_jax.experiments.study.experiment import Part, Study

TOOK = "Computing the numbers took 0 s of CPU time."


class Squares:
    """Counts what is computed; fails at the second part while `fails`."""

    def __init__(self):
        self.computed, self.tables, self.fails = [], 0, True

    def part(self, label, power):
        def compute(instances, tell):
            if self.fails and label == "cubes":
                raise KeyboardInterrupt
            self.computed.append(label)
            return {"value": np.arange(instances) ** power}

        return Part(label, {"power": power}, compute, 4)

    def study(self, power=3):
        return Study(
            "some-name",
            "A claim.",
            (self.part("squares", 2), self.part("cubes", power)),
            figures=lambda found, table: {},
            rows=self.rows,
            findings=lambda found, table: f"{len(found)} parts, {sum(row['sum'] for row in table)} in all",
        )

    def rows(self, found):
        self.tables += 1
        return [{"part": label, "sum": int(numbers["value"].sum())} for label, numbers in found.items()]


def write(study, folder, instances=4):
    with Progress(disable=True) as progress:
        return study.kept_in(folder / "parts").write(folder, instances, progress)


def test_an_interrupted_study_goes_on_and_a_finished_one_computes_nothing(tmp_path):
    squares = Squares()
    with pytest.raises(KeyboardInterrupt):
        write(squares.study(), tmp_path)
    squares.fails = False
    table, section = write(squares.study(), tmp_path)
    assert (squares.computed, squares.tables) == (["squares", "cubes"], 1)  # for the file and the page
    assert write(squares.study(), tmp_path)[0] == table
    assert squares.computed == ["squares", "cubes"]
    # 0 + 1 + 4 + 9 and 0 + 1 + 8 + 27
    assert table == [{"part": "squares", "sum": 14}, {"part": "cubes", "sum": 36}]
    assert (tmp_path / "table.csv").read_text(encoding="utf-8").split() == [
        "part,sum",
        "squares,14",
        "cubes,36",
    ]
    assert section.paragraphs == ["2 parts, 50 in all", TOOK]
    assert sorted(file.name for file in (tmp_path / "parts" / "some_name").iterdir()) == [
        "cubes.npz",
        "squares.npz",
    ]


def test_what_is_undefined_is_empty(tmp_path):
    squares = Squares()
    squares.fails = False
    study = dataclasses.replace(
        squares.study(),
        rows=lambda found: [{"a": float("nan"), "b": 1.0}],
        findings=lambda found, table: f"{table[0]['a']:.2f}",
    )
    table, section = write(study, tmp_path)
    assert table == [{"a": "", "b": 1.0}]  # JSON knows no NaN
    assert section.paragraphs == ["nan", TOOK]  # numbers all the same


def test_numbers_of_another_question_are_refused_and_damaged_ones_computed_again(tmp_path):
    squares = Squares()
    squares.fails = False
    write(squares.study(), tmp_path)
    with pytest.raises(
        InputError, match=r"cubes\.npz with power = 3: must be from this experiment, with power = 4"
    ):
        write(squares.study(power=4), tmp_path)
    with pytest.raises(InputError, match=r"squares\.npz with instances = 4"):
        write(squares.study(), tmp_path, instances=2)
    file = tmp_path / "parts" / "some_name" / "cubes.npz"
    file.write_bytes(file.read_bytes()[:-40])
    write(squares.study(), tmp_path)
    assert squares.computed == ["squares", "cubes", "cubes"]


def test_a_folder_of_parts_that_cannot_be_made_is_refused_before_the_work(tmp_path):
    squares = Squares()
    (tmp_path / "parts").write_text("a file", encoding="utf-8")
    with pytest.raises(InputError, match=r"parts = .*some_name: must be a folder that can be written"):
        write(squares.study(), tmp_path)
    assert squares.computed == []


@pytest.mark.slow
@pytest.mark.parametrize("claim", [endings, healing, onset, residual_steering, retraining])
def test_the_small_form_of_each_claim(claim, tmp_path):
    name = claim.EXPERIMENT.name
    reproduce({name: claim.EXPERIMENT}, tmp_path / "out", [name], quick=True)
    table = (tmp_path / "out" / name / "table.csv").read_text(encoding="utf-8").splitlines()
    # one objective in one environment; three losses by five measures in two environments and pooled; two
    # problems with nine steps each; one environment, ten monitors and KL; five choices, three restarts
    rows = {"endings": 1, "residual-steering": 45, "retraining": 18, "onset": 11, "healing": 15}
    assert len(table) == 1 + rows[name]
    pictures = {"retraining": 2, "onset": 4, "healing": 2}
    assert len([*(tmp_path / "out" / name).glob("*.png")]) == pictures.get(name, 1)


def test_a_part_is_computed_in_its_precision_whatever_is_usual():
    for precision in ("float32", "float64"):
        part = Part("zeros", {}, lambda n, tell: {"value": np.asarray(jnp.zeros(n))}, precision=precision)
        assert part.numbers(2, silent, Path())["value"].dtype == precision
