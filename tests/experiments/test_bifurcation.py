"""The bifurcation diagram: runs end on what is drawn as attracting."""

import numpy as np
import pytest

from fpo_jax.continuation import Branch, Event
from fpo_jax.equilibria import Equilibrium
from fpo_jax.experiments import bifurcation
from fpo_jax.experiments.core.progress import Progress
from fpo_jax.plotting import Line


@pytest.mark.slow
def test_runs_end_at_stable_equilibria_of_the_branches(tmp_path):
    small = bifurcation.EXPERIMENT.quick
    with Progress(disable=True) as progress:
        rows, section = small.write(tmp_path, 3, progress)
    assert [row["method"] for row in rows] == ["relaxed FPO", "proximal FPO"]
    for row in rows:
        assert (row["branches"], row["folds"], row["runs"], row["at_stable"]) == (1, "", 9, 9)
        assert row["apart_most"] < 1e-6  # 1000 mirror steps leave 0.98¹⁰⁰⁰ = 2e-9 of what the entropy undoes
        assert row["utility_off_most"] < 1e-6
    assert "| relaxed FPO | 1 | – | – | 9 | 9 |" in section.markdown()
    assert (tmp_path / "bifurcation.png").exists()


def test_dashes_are_where_a_branch_does_not_attract():
    ends = [_equilibrium(0.1 * i, i != 1) for i in range(3) for _ in range(3)]
    events = [Event("fold", 2, 0.5), Event("fold", 5, 0.3)]
    branch = Branch(np.linspace(0.0, 1.0, 9), tuple(ends), tuple(events), ("", ""))
    found = bifurcation.Traced((branch,), np.zeros(1), *(np.zeros((1, 3)) for _ in range(4)))
    drawn = bifurcation.chart(bifurcation.PANELS["alpha"], {"RLHF": found})
    lines = [mark for mark in drawn.marks if isinstance(mark, Line)]
    assert [bool(line.style.dashes) for line in lines] == [False, True, False]
    assert [line.label for line in lines] == ["RLHF", "", ""]
    assert [line.x.tolist() for line in lines] == [
        part.tolist() for part in np.split(branch.values[[0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8]], [3, 7])
    ]


def _equilibrium(utility, stable):
    values = dict.fromkeys(Equilibrium._fields) | {
        "metrics": {"true_utility": utility},
        "stable": stable,
        "starts": (0,),
        "others": (),
    }
    return Equilibrium(**values)
