"""`fpo-jax bench`: what is measured and written, and one line for bad input."""

import csv
import json
import sys

import jax
import pytest

from fpo_jax.experiments.bench import draws, peak_rates
from fpo_jax.experiments.bench.against import Compared, compared, lines
from fpo_jax.experiments.bench.figures import draw
from tests.helpers import ROOT, call

TINY = ["--only", "linear", "--batches", "2", "--iterations", "16", "--repeats", "1", "--cold", "none"]


def test_a_tiny_benchmark(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(peak_rates, "REPEATS", 2)
    figures = []
    monkeypatch.setattr(
        "fpo_jax.experiments.bench.files.draw", lambda rows: figures.append(draw(rows)) or figures[0]
    )
    objectives = ["--objectives", "myopic", "practical"]
    status, out, err = call(capsys, "bench", *TINY, *objectives, "--json", "--out", tmp_path / "b")
    assert status == 0, err
    report = json.loads(out)
    assert report == json.loads((tmp_path / "b" / "bench.json").read_text(encoding="utf-8"))
    assert report["machine"]["cores"] >= 1
    assert report["versions"]["jax"] == jax.__version__
    assert all(rate["cpu"] > 0 for rate in report["peak_per_second"].values())
    mine, practical = report["rows"]
    assert (mine["environment"], mine["objective"], mine["iterations"]) == ("linear", "myopic", 300)
    assert list(mine["seconds_per_seed"]) == ["2"]
    assert mine["over_myopic"] == {"2": 1.0}
    assert min(mine[f"{stage}_seconds"]["wall"] for stage in ("trace", "lower", "compile")) > 1e-3
    ratio = practical["seconds_per_seed"]["2"]["cpu"] / mine["seconds_per_seed"]["2"]["cpu"]
    assert practical["over_myopic"]["2"] == pytest.approx(ratio)
    assert mine["bytes"] >= 2 * 17 * 6 * 4  # two seeds, 17 entries of six metrics, float32
    # the limit is the work of 300 iterations at the peak rates: 18 flops a dimension, exp and two roots
    rates = {name: rate["cpu"] for name, rate in report["peak_per_second"].items()}
    limit = 300 * (18 * 50 / rates["flops"] + 3 / rates["transcendentals"])
    assert mine["limit_seconds"]["cpu"] == pytest.approx(limit)
    best = min(seconds["cpu"] for seconds in mine["seconds_per_seed"].values())
    assert mine["times_limit"] == pytest.approx(best / limit)
    with (tmp_path / "b" / "table.csv").open(encoding="utf-8") as file:
        assert [row["objective"] for row in csv.DictReader(file)] == ["myopic", "practical"]
    files = {path.name for path in (tmp_path / "b").iterdir()}
    assert files >= {"bench.json", "table.csv", "seconds_per_seed.pdf", "seconds_per_seed.png"}
    (ax,) = figures[0].axes
    assert [line.get_label() for line in ax.get_lines() if line.get_label()[0] != "_"] == [
        "myopic",
        "practical",
        "arithmetic limit",
        "eager NumPy oracle",
    ]


BAD = {
    "environment": (["--only", "liner"], "only = liner", "nearest: linear"),
    "objective": (["--objectives", "exat"], "objectives = exat", "nearest: exact"),
    "iterations": (["--iterations", "0"], "iterations = 0", ">= 1"),
    "batches": (["--batches", "0"], "batches = (0,)", ">= 1"),
    "folder": (["--out", "."], "out = .", "another folder"),
    "nothing to write": (["linear", "--json"], "which = linear", "a list with environments"),
    "cold": (["--cold", "most"], "most", "none"),
    "no Python": (["--against", "./python9"], "against = ./python9", "No such file"),
    "no Python of ours": (["--against", "/bin/false"], "against = /bin/false", "it says nothing"),
    "of others": (["linear", "--against", "python"], "against = python", "omitted when --out"),
}


def test_two_pythons_are_compared_turn_by_turn():
    def report(*cpu):
        named = zip(("myopic", "exact"), cpu, strict=True)
        of = {"environment": "linear"}
        rows = [
            of | {"objective": name, "seconds_per_seed": {"256": {"wall": 9.0, "cpu": x}}}
            for name, x in named
        ]
        return {"rows": rows}

    mine, other = compared([(report(1.0, 4.0), report(2.0, 4.0)), (report(3.0, 4.0), report(3.0, 8.0))])
    # medians: 2 here and 2.5 there, ratios of the turns 2 and 1; 4 here and 6 there, 1 and 2
    assert mine == Compared("linear", "myopic", 256, 2.0, 2.5, 1.25, 1.0, 2.0)
    assert other == Compared("linear", "exact", 256, 4.0, 6.0, 1.5, 1.0, 2.0)
    assert [*lines([mine], {"here": "Python 3.11"})][-1].split()[2:6] == ["256", "2.0e+00", "2.5e+00", "1.25"]


@pytest.mark.slow
def test_a_python_is_compared_with_itself(capsys, monkeypatch):
    """Its turn takes some seconds, most of them to start and to compile."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    status, out, err = call(capsys, "bench", *TINY[:-2], "--against", sys.executable, "--json")
    assert status == 0, err
    report = json.loads(out)
    assert report["here"] == report["there"]
    assert all(row["low"] <= row["high"] and row["here"] > 0 for row in report["rows"])


def test_draws_in_three_ways(capsys, monkeypatch):
    monkeypatch.setattr(draws, "RESPONSES", (5,))
    for name, small in (("SEEDS", 2), ("ROUNDS", 1), ("WORDS", 7), ("TOKENS", 2)):
        monkeypatch.setattr(draws, name, small)
    status, out, err = call(capsys, "bench", "draws", "--repeats", "1")
    assert status == 0, err
    (row,) = (line for line in out.splitlines() if line.split()[0] == "5")
    assert row.split()[-1] == "yes"  # ours are those of JAX


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_2(case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, named, allowed = BAD[case]
    status, out, err = call(capsys, "bench", *arguments)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert named in err
    assert allowed in err
    assert not list(tmp_path.iterdir())
