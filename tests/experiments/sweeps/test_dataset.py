"""Results of a sweep: arrays with named axes, tables, and files of an earlier version."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd

from fpo_jax.experiments.core.wording import distinct
from fpo_jax.experiments.sweeps import execution, figures
from fpo_jax.experiments.sweeps.dataset import per_seed, table
from fpo_jax.experiments.sweeps.files import load_sweep
from fpo_jax.experiments.sweeps.grid import make_grid
from tests.helpers import arrays, call


def test_results(finished, capsys):
    written = {path.name for path in finished.iterdir()}
    assert written >= {"config.json", "metrics.npz", "table.csv", "runs.csv", "summary.json", "against.png"}
    assert not finished.with_name("whole.partial").exists()
    result = load_sweep(finished)
    assert result["true_utility"].dims == ("objective", "weight", "dimension", "seed", "step")
    assert list(result["step"]) == [0, 1, 2, 3, 4, 5, 6]
    # RLHF has no weight, so that one run stands for both; relaxed FPO of weight 0 is RLHF
    utility = result["true_utility"].isel(dimension=0, step=-1)
    np.testing.assert_array_equal(
        utility.sel(objective="myopic", weight=0), utility.sel(objective="myopic", weight=0.1)
    )
    np.testing.assert_array_equal(
        utility.sel(objective="myopic", weight=0), utility.sel(objective="relaxed", weight=0)
    )
    status, out, _ = call(capsys, "run", "linear", "--objective", "relaxed", "--dimension", 4, "--steps", 6,
                          "--seeds", 5, "--json", "--record", "outcome")  # fmt: skip
    assert status == 0
    alone = json.loads(out.splitlines()[-1])["true_utility_final"]
    np.testing.assert_allclose(utility.sel(objective="relaxed", weight=0.1).mean(), alone, rtol=1e-12)
    runs = pd.read_csv(finished / "runs.csv")
    # a run is one row: RLHF, exact foresight and two weights of relaxed FPO, of five seeds each
    assert len(runs) == 4 * 5
    assert not runs.duplicated(["objective", "weight", "seed"]).any()
    assert runs["true_utility_final"].notna().all()
    np.testing.assert_array_equal(runs["weight"].isna(), runs["objective"] != "relaxed")
    assert list(pd.read_csv(finished / "table.csv")["objective"]) == ["myopic", "relaxed", "relaxed", "exact"]
    summary = json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    assert (summary["runs"], summary["diverged"], len(summary["cells"])) == (20, 0, 4)


def test_the_arrays_can_be_read_alone(finished):
    stored = arrays(finished)
    axes = stored["axes"].tolist()
    assert axes == ["objective", "weight", "dimension", "seed", "step"]
    assert stored["true_utility"].shape == tuple(stored[axis].size for axis in axes) == (3, 2, 1, 5, 7)
    assert stored["objective"].tolist() == ["myopic", "relaxed", "exact"]
    assert stored["weight"].tolist() == [0.0, 0.1]
    assert json.loads(str(stored["own"])) == {"myopic": ["dimension"], "exact": ["dimension"],
                                              "relaxed": ["weight", "dimension"]}  # fmt: skip


def test_arrays_of_an_earlier_version_are_read(finished, tmp_path):
    earlier = arrays(finished)
    for name in ("axes", "objective", "weight", "dimension", "command", "own", "cell"):
        del earlier[name]
    np.savez(tmp_path / "metrics.npz", **earlier)
    shutil.copy(finished / "config.json", tmp_path)
    assert load_sweep(tmp_path).identical(load_sweep(finished))


def test_diverged_runs_are_left_out():
    axes = {"policy_lr": [0.02, 1e6], "dimension": [4]}
    grid = make_grid({"environment": "linear", "grid": axes, "seeds": 3, "steps": 6, "precision": "float64"})
    result = execution.run_grid(grid, 4)
    gone = result.sel(policy_lr=1e6)
    assert (gone["diverged_at"] > 0).all()
    assert gone["true_utility"].isnull().all()
    assert (result.sel(policy_lr=0.02)["diverged_at"] == -1).all()
    assert list(table(result)["n"]) == [3, 0]
    assert per_seed(result)["collapsed"].isnull().sum() == 3
    assert figures.seed_count(per_seed(result)["true_utility_final"]) == "0 to 3"


def test_whole_numbers_stay_whole_beside_a_method_without_them():
    grid = make_grid(
        {"environment": "linear", "objective": "myopic,exact", "grid": {"horizon": "1,2"}, "seeds": 2}
    )
    result = execution.run_grid(dataclasses.replace(grid, steps=2, every=1))
    assert list(table(result)["horizon"]) == [None, 1, 2]
    assert json.loads(result.attrs["own"]) == {"myopic": [], "exact": ["horizon"]}
    assert distinct([1200.0, 1300.0]) == ["1200", "1300"]
