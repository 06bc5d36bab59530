"""`fpo-jax reproduce`: a page, tables, numbers and figures."""

import json
import re

import numpy as np

from fpo_jax.experiments.cli.claims import discover
from fpo_jax.experiments.cli.reproduce import NAMES
from fpo_jax.experiments.linear import EXPERIMENT
from tests.helpers import call


def test_reproduce_writes_page_tables_numbers_and_figures(capsys, tmp_path, monkeypatch):
    out = tmp_path / "results"
    labels = ("RLHF", "practical 0.1", "relaxed 0.1", "exact, k = 10")  # compiling the others takes long
    fewer = EXPERIMENT._replace(methods={label: EXPERIMENT.methods[label] for label in labels})
    monkeypatch.setattr("fpo_jax.experiments.cli.claims.discover", lambda: {"linear": fewer})
    status, _, err = call(capsys, "reproduce", "--only", "linear", "--seeds", "2", "--out", out)
    assert status == 0
    assert "linear: figures" in err  # progress is visible
    page = (out / "README.md").read_text(encoding="utf-8")
    for name in ("curves", "phase"):
        assert (out / "linear" / f"{name}.png").stat().st_size > 10_000
        assert (out / "linear" / f"{name}.pdf").exists()
        assert f"linear/{name}.png" in page
    assert "fpo-jax run linear --objective exact --seeds 2 --record outcome --horizon 10" in page
    numbers = np.load(out / "linear" / "numbers.npz")
    assert numbers["RLHF/true_utility"].shape == (2, 301)
    table = json.loads((out / "summary.json").read_text(encoding="utf-8"))["tables"]["linear"]
    assert len((out / "linear" / "table.csv").read_text(encoding="utf-8").splitlines()) == 1 + len(table)
    final = {row["method"]: row["true_utility_final"] for row in table}
    # the order that the published arms have on their own seed, and foresight helps the more of it there is
    assert final["RLHF"] < final["practical 0.1"] < final["relaxed 0.1"]
    assert final["RLHF"] < final["exact, k = 10"]


def test_help_names_every_experiment(capsys):
    _, shown, _ = call(capsys, "reproduce", "--help")
    shown = " ".join(re.sub(r"[│|]", " ", shown).split())
    assert f"experiments to run, among {', '.join(NAMES)};" in shown
    assert sorted(NAMES) == sorted(discover())
