"""`fpo-jax sweep`: results on disk, resumed after an interruption, and one clear line for bad input."""

import dataclasses
import errno
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import namedtuple

import filelock
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from fpo_jax import plotting
from fpo_jax.engine.sweep import Sweep
from fpo_jax.envs.linear import Linear
from fpo_jax.errors import InputError
from fpo_jax.experiments import phase
from fpo_jax.experiments.cli.sweep import _axes
from fpo_jax.experiments.core import unfinished as unfinished_folder
from fpo_jax.experiments.core.progress import Progress
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.core.wording import distinct
from fpo_jax.experiments.runs.execution import execute
from fpo_jax.experiments.sweeps import execution, figures
from fpo_jax.experiments.sweeps.dataset import per_seed, table
from fpo_jax.experiments.sweeps.files import load_sweep
from fpo_jax.experiments.sweeps.grid import make_grid
from tests.test_command_line import call

GRID = ["--objective", "myopic,relaxed,exact", "--grid", "weight=0,0.1", "--grid", "dimension=4"]
FAST = ["sweep", "linear", *GRID, "--steps", "6", "--seeds", "5", "--width", "4", "--precision", "float64"]
# Of RLHF one cell, of relaxed FPO two, of exact one: 15 runs of one program in 4 chunks, 5 of another in 2.


def arrays(folder):
    with np.load(folder / "metrics.npz") as stored:
        return {name: stored[name] for name in stored.files}


def require_equal(folder, other):
    mine, theirs = arrays(folder), arrays(other)
    assert mine.keys() == theirs.keys()
    for name, values in mine.items():
        np.testing.assert_array_equal(values, theirs[name], err_msg=name)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A sweep that nothing interrupted."""
    from fpo_jax.experiments.cli.main import main

    out = tmp_path_factory.mktemp("sweep") / "whole"
    assert main([*FAST, "--out", str(out)]) == 0
    return out


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


def test_spaces_around_values_are_accepted():
    wishes = {"environment": "linear", "objective": "relaxed"}
    assert _axes(["weight = 0.1, 0.2", " rm-lr = 0.001 : 1 : 4 : log "]) == {
        "weight": "0.1, 0.2",
        "rm_lr": "0.001 : 1 : 4 : log",
    }
    spaced = make_grid({**wishes, "grid": _axes(["weight = 0.1, 0.2", "rm_lr = 0.001 : 1 : 4 : log"])})
    # equal ratios of 10 from 0.001 to 1
    assert dict(spaced.grid) == {"weight": (0.1, 0.2), "rm_lr": (0.001, 0.01, 0.1, 1.0)}


def test_config_runs_again(finished, capsys, tmp_path):
    again = [
        "sweep",
        "--config",
        finished / "config.json",
        "--width",
        4,
        "--out",
        tmp_path / "again",
        "--json",
    ]
    status, out, _ = call(capsys, *again)
    assert status == 0
    require_equal(finished, tmp_path / "again")
    command = json.loads(out)["command"]
    assert command.startswith("fpo-jax sweep linear --objective myopic,relaxed,exact --grid weight=0.0,0.1")
    assert json.loads((tmp_path / "again" / "config.json").read_text(encoding="utf-8"))["seeds"] == 5


class Interrupted:
    """Stands in for `Sweep.compute`, and breaks off at a given chunk."""

    def __init__(self, at, error=KeyboardInterrupt):
        self.left, self.error, self.compute = at, error, Sweep.compute

    def __call__(self, sweep, chunk):
        if self.left == 0:
            raise self.error
        self.left -= 1
        return self.compute(sweep, chunk)


@pytest.fixture
def unfinished(monkeypatch, capsys, tmp_path):
    """A sweep that was interrupted in its fourth chunk."""
    out = tmp_path / "cut"
    with monkeypatch.context() as patch:
        interrupted = Interrupted(3)
        patch.setattr(Sweep, "compute", lambda sweep, chunk: interrupted(sweep, chunk))
        status, _, err = call(capsys, *FAST, "--out", out)
    assert status == 130
    assert f"fpo-jax sweep --resume --out {out}" in err
    assert not out.exists()
    assert len(list(tmp_path.glob("cut.partial/*.npz"))) == 3
    return out


def test_resumed_to_the_last_bit(unfinished, finished, monkeypatch, capsys):
    computed = []
    compute = Sweep.compute
    monkeypatch.setattr(
        Sweep, "compute", lambda sweep, chunk: computed.append(chunk) or compute(sweep, chunk)
    )
    status, _, err = call(capsys, "sweep", "--resume", "--out", unfinished)
    assert status == 0, err
    assert len(computed) == 3  # of six chunks
    require_equal(unfinished, finished)
    assert not unfinished.with_name("cut.partial").exists()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied"])
def test_damaged_chunk_is_computed_again(damage, unfinished, finished, capsys):
    path = sorted(unfinished.with_name("cut.partial").glob("*.npz"))[1]
    content = path.read_bytes()
    value = np.float64(10.0).tobytes()  # the optimum of every run
    assert value in content
    damages = {
        "truncated": content[:-100],
        "flipped": content.replace(value, np.float64(10.5).tobytes()),
        "emptied": b"",
    }
    path.write_bytes(damages[damage])
    status, _, err = call(capsys, "sweep", "--resume", "--out", unfinished)
    assert status == 0
    assert f"damaged, so computed again: {path.name}" in err
    require_equal(unfinished, finished)


def complaint(capsys, *arguments):
    status, out, err = call(capsys, *arguments)
    lines = [line for line in err.splitlines() if "error:" in line]
    assert (status, out, len(lines)) == (2, "", 1), err
    assert "Traceback" not in err
    return lines[0]


def test_unfinished_sweeps_are_not_overwritten_or_confused(unfinished, capsys, tmp_path):
    assert "must be resumed with --resume, or" in complaint(capsys, *FAST, "--out", unfinished)
    other = [
        *FAST[:-6],
        "--seeds",
        "6",
        "--width",
        "4",
        "--precision",
        "float64",
        "--resume",
        "--out",
        unfinished,
    ]
    assert "seeds = 6: must be 5, as in the sweep to be resumed" in complaint(capsys, *other)
    wide = ["sweep", "--resume", "--width", "8", "--out", unfinished]
    assert "width = 8: must be 4, as in the sweep to be resumed" in complaint(capsys, *wide)
    some = ["sweep", "--resume", "--seeds", "6", "--out", unfinished]  # all else is as it was begun
    assert "seeds = 6: must be 5, as in the sweep to be resumed" in complaint(capsys, *some)
    told = complaint(capsys, "run", "linear", "--resume", "--out", unfinished)
    assert "must be settings of run; these are for `fpo-jax sweep" in told
    with filelock.FileLock(unfinished.with_name("cut.partial") / "lock"):
        told = complaint(capsys, "sweep", "--resume", "--out", unfinished)
    assert "cut.partial: must be free: another sweep is writing it" in told
    assert len(list(tmp_path.glob("cut.partial/*.npz"))) == 3


def test_disk_full(monkeypatch, capsys, tmp_path):
    out, save, left = tmp_path / "full", np.savez, [2]

    def until_full(*arguments, **options):
        if left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= 1
        save(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", until_full)
        told = complaint(capsys, *FAST, "--out", out)
    assert "(No space left on device); what is done is kept: go on with --resume" in told
    names = {path.name for path in tmp_path.glob("full.partial/*")} - {"lock"}
    assert len(names) == 3  # two chunks, the configuration
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(unfinished_folder.shutil, "disk_usage", lambda path: Usage(0, 0, 10_000))
    told = complaint(capsys, *FAST, "--out", tmp_path / "big")
    assert "GB on the disk: --every 3 fits" in told, told
    assert not (tmp_path / "big.partial").exists()


def test_what_is_not_ours_is_left_alone(capsys, tmp_path):
    thesis = tmp_path / "mine.partial" / "thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("years of work", encoding="utf-8")
    assert "free for the sweep's work (it holds thesis.txt)" in complaint(
        capsys, *FAST, "--out", tmp_path / "mine"
    )
    assert thesis.read_text(encoding="utf-8") == "years of work"
    (tmp_path / "other.partial").write_text("a file", encoding="utf-8")
    assert "a folder that can be written" in complaint(capsys, *FAST, "--out", tmp_path / "other")


def test_interrupted_before_anything_was_done(monkeypatch, capsys, tmp_path):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Sweep, "__init__", interrupted)
    status, _, err = call(capsys, *FAST, "--out", tmp_path / "early")
    assert (status, "go on with" in err) == (130, False)
    assert list(tmp_path.iterdir()) == []


def test_resumed_where_nothing_was_begun(finished, capsys, monkeypatch, tmp_path):
    told = complaint(capsys, "sweep", "--resume", "--out", tmp_path / "nowhere")
    assert "nowhere.partial: must be there, or options given of a sweep to begin" in told
    assert list(tmp_path.iterdir()) == []
    # killed while it compiled, or while its configuration was written: nothing of it is there but a lock
    partial = tmp_path / "cut.partial"
    partial.mkdir()
    (partial / "lock").touch()
    (partial / ".aside-k2x").write_text("{", encoding="utf-8")

    def killed(sweep, chunk):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Sweep, "compute", killed)
        assert call(capsys, *FAST, "--resume", "--out", tmp_path / "cut")[0] == 130
    # no chunk is done; filelock removes its file on leaving, or not
    assert {path.name for path in partial.iterdir()} - {"lock"} == {"config.json"}
    status, _, err = call(capsys, "sweep", "--resume", "--out", tmp_path / "cut")
    assert status == 0, err
    require_equal(tmp_path / "cut", finished)
    assert [line.split(" of ")[0] for line in err.splitlines() if line.startswith("compiling")] == [
        "compiling how runs begin",
        "compiling the iterations",
    ] * 2


def test_a_finished_sweep_is_not_run_again(finished, capsys, monkeypatch):
    def again(*_, **__):
        raise AssertionError("it runs again")

    monkeypatch.setattr("fpo_jax.experiments.sweeps.execution.sweep_into", again)
    for options in ([], FAST[1:]):
        status, out, err = call(capsys, "sweep", *options, "--resume", "--json", "--out", finished)
        assert (status, err) == (0, f"{finished} holds this sweep already: nothing is left to do\n")
        assert json.loads(out) == json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    with pytest.raises(AssertionError, match="it runs again"):
        call(capsys, *FAST, "--seed", "1", "--resume", "--out", finished)


BAD = {
    "unknown name": (["--grid", "wieght=0.1"], "grid = wieght: must be one of", "(nearest: weight)"),
    "empty axis": (["--grid", "weight="], "grid weight = nothing: must be values"),
    "not a number": (["--grid", "weight=x"], "grid weight = x: must be values separated by commas"),
    "a range in ratios from 0": (["--grid", "weight=0:1:3:log"], "weight = 0:1:3:log: must be", "a low > 0"),
    "one point between two ends": (["--grid", "weight=0:1:1"], "weight = 0:1:1: must be", "a count >= 2"),
    "no point": (["--grid", "weight=0:1:0"], "weight = 0:1:0: must be", "a count >= 2"),
    "half a range": (["--grid", "weight=0:1"], "weight = 0:1: must be low:high:count or low:high:count:log"),
    "endless": (["--grid", "weight=0:inf:3"], "weight = 0:inf:3: must be low:high:count"),
    "empty value": (["--grid", "weight=0.1,,0.2"], "weight = 0.1,,0.2: must be", "none of them empty"),
    "spelt twice": (["--grid", "rm-lr=0", "--grid", "rm_lr=1"], "grid = rm_lr twice"),
    "no values": (["--grid", "weight"], "grid = weight: must be NAME=VALUES"),
    "axis twice": (["--grid", "weight=0", "--grid", "weight=1"], "grid = weight twice"),
    "value twice": (["--grid", "weight=0.1,0.1"], "grid weight = 0.1 twice"),
    "out of range": (["--grid", "weight=-1"], "weight = -1.0: must be a finite number >= 0"),
    "unknown method": (["--objective", "relaxd"], "objective = relaxd", "(nearest: relaxed)"),
    "no method": (["--objective", ","], "objective = nothing"),
    "uneven every": (["--every", "7"], "every = 7: must be an integer >= 1 that divides"),
    "half a cluster": (["--process", "0"], "must be given together"),
    "no such process": (
        ["--coordinator", "here:1", "--processes", "2", "--process", "2"],
        "process = 2: must be an integer >= 0 and < 2",
    ),
    "resume without folder": (["--resume"], "out = nothing: must be a folder, that of the sweep to resume"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments, *told = BAD[case]
    line = complaint(capsys, "sweep", "linear", "--objective", "relaxed", *arguments)
    assert all(part in line for part in told), line
    assert list(tmp_path.iterdir()) == []


def test_values_of_an_axis():
    def axis(values, name="weight"):
        return make_grid({"environment": "linear", "objective": "relaxed", "grid": {name: values}}).grid[name]

    assert axis("0.1:0.5:5") == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert axis("0.001:1:4:log") == (0.001, 0.01, 0.1, 1.0)
    assert axis([0, 0.5]) == (0.0, 0.5)
    assert axis("4,8", "dimension") == (4, 8)
    assert axis("detached,value", "utility") == ("detached", "value")
    command = make_grid(
        {"environment": "linear", "grid": {"rm_lr": "0.001:1:4:log", "alpha": "0.1:1:4"}}
    ).command()
    assert (
        command == "fpo-jax sweep linear --objective myopic --grid rm_lr=0.001:1:4:log --grid alpha=0.1:1:4"
    )
    quoted = make_grid({"environment": "gridworld", "grid": {"map": ["S..#G / .#..."]}}).command()
    assert quoted.endswith("--grid 'map=S..#G / .#...'")


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        ({"grid": 3}, "grid = 3: must be an object"),
        ({"grid": {"weight": [None]}, "objective": "relaxed"}, "grid weight = null"),
        ({"objective": 3}, "objective = 3: must be names"),
        ({"objective": [["myopic"]]}, "must be names"),
        ({"differentiator": [1]}, r"differentiator = \[1\]: must be a name"),
        ({"environment": 3}, "environment = 3: must be a name"),
        ({"wieght": 3}, "setting = wieght: must be one of"),
    ],
)
def test_bad_files(wishes, told):
    with pytest.raises(InputError, match=told):
        make_grid({"environment": "linear", **wishes})


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
    assert figures.counted(per_seed(result)["true_utility_final"]) == "0 to 3"


def test_experiment_of_sweeps(monkeypatch, tmp_path):
    axes, methods = {"weight": [0.3, 0.1], "rm_lr": [0.01, 0.02]}, ["myopic", "relaxed"]
    small = {"linear": {"environment": "linear", "objective": methods, "grid": axes, "steps": 6}}
    monkeypatch.setattr(phase, "GRIDS", small)
    with Progress(disable=True) as progress:
        rows, section = phase.EXPERIMENT._replace(grids=small).write(tmp_path, 3, progress)
    assert rows[0]["runs"] == (2 + 4) * 3  # RLHF has no weight
    text = section.markdown()
    assert text.count("| linear | RLHF |") == text.count("| linear | relaxed FPO |") == 1
    assert (tmp_path / "linear_collapsed.png").exists()


def test_heat_map_puts_values_where_they_belong():
    _, axes = plotting.panels(1, 1)
    values = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    places = np.array([0.01, 0.1, 1.0]), np.array([1.0, 2.0])
    heat = plotting.HeatMap(*places, values, limits=(0, 5), colours="viridis")
    drawn = plotting.draw(axes[0, 0], plotting.Chart("", [heat]))
    x, y = drawn._coordinates[0, :, 0], drawn._coordinates[:, 0, 1]
    # decades meet halfway by ratio; units halfway by difference, and reach as far beyond the ends
    np.testing.assert_allclose(x, 10.0 ** np.array([-2.5, -1.5, -0.5, 0.5]))
    np.testing.assert_allclose(y, [0.5, 1.5, 2.5])
    np.testing.assert_array_equal(drawn.get_array(), values)
    assert (axes[0, 0].get_xscale(), axes[0, 0].get_yscale()) == ("log", "linear")


def start(*arguments):
    command = [sys.executable, "-m", "fpo_jax", *map(str, arguments)]
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


@pytest.mark.slow
def test_two_processes_give_the_results_of_one(capsys, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    what = [*SMALL, "--grid", "weight=0,0.1,0.2", "--seeds", "4"]
    cluster = ["--out", tmp_path / "two", "--coordinator", address, "--processes", "2", "--process"]
    both = [start(*what, "--width", "8", *cluster, index) for index in (0, 1)]
    for process in both:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    status, _, _ = call(capsys, *what, "--width", "4", "--out", tmp_path / "one")  # as wide as on each of two
    assert status == 0
    require_equal(tmp_path / "two", tmp_path / "one")


SMALL = ["sweep", "linear", "--objective", "relaxed", "--grid", "dimension=4", "--steps", "6"]


def test_killed_and_resumed(capsys, tmp_path):
    what = [*SMALL, "--grid", "weight=0:1:8", "--seeds", "4", "--width", "4"]
    out, partial = tmp_path / "killed", tmp_path / "killed.partial"
    process = start(*what, "--out", out)
    while len(list(partial.glob("*.npz"))) < 3 and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    assert call(capsys, "sweep", "--resume", "--out", out)[0] == 0
    assert call(capsys, *what, "--out", tmp_path / "whole")[0] == 0
    require_equal(out, tmp_path / "whole")


@pytest.mark.slow
def test_killed_at_twenty_random_moments_and_resumed(tmp_path):
    what = [*SMALL, "--grid", "weight=0:1:200", "--seeds", "4", "--width", "4"]
    began = time.monotonic()
    whole = start(*what, "--out", tmp_path / "whole")
    whole.communicate()
    assert whole.returncode == 0
    duration, generator, out = time.monotonic() - began, random.Random(0), tmp_path / "killed"
    for _ in range(20):
        process = start(*what, "--resume", "--out", out)
        time.sleep(generator.uniform(0.2, 1.0) * duration)
        process.kill()
        process.communicate()
        if out.exists():  # finished before it was killed, whole, since it is there at all
            require_equal(out, tmp_path / "whole")
            shutil.rmtree(out)
    last = start(*what, "--resume", "--out", out)
    _, err = last.communicate()
    assert last.returncode == 0, err
    require_equal(out, tmp_path / "whole")


def test_values_that_differ_in_the_eleventh_digit_are_told_apart(capsys):
    axis = ["--grid", "weight=0.1,0.10000000001"]
    status, out, _ = call(
        capsys, "sweep", "linear", "--objective", "relaxed", *axis, "--steps", 2, "--seeds", 2
    )
    assert status == 0
    shown = [line.split()[1] for line in out.splitlines()[1:]]
    assert shown == ["0.1", "0.10000000001"]
    assert distinct([0.1, 0.2]) == ["0.1", "0.2"]
    assert distinct([1.0, None, float("nan"), 1 / 3]) == ["1", "–", "–", "0.333"]


def test_a_sweep_meets_the_instances_of_a_run():
    # in float32 and in float64, seed by seed: the optimum says which instance it is
    wishes = {"environment": "bandit", "objective": "exact", "seeds": 4, "steps": 1, "record": "outcome"}
    grid, settings = make_grid(wishes), resolve(wishes)
    assert (grid.precision, settings.precision) == ("float32", "float64")
    optima, run = execution.run_grid(grid)["optimum"].values.ravel(), execute(settings)
    np.testing.assert_allclose(optima, run.optimum, rtol=1e-7)
    # those that a run always had; single random numbers gave a sweep 0.9989 0.8773 0.9376 0.9548
    np.testing.assert_allclose(run.optimum, [0.9933, 0.9470, 0.9084, 0.9939], atol=5e-5)


def test_a_utility_beyond_its_optimum_is_said(capsys, monkeypatch):
    monkeypatch.setattr(Linear, "optimum", lambda self: jnp.full((), 0.2))
    told = "fpo-jax: warning: true utility passes the optimum in 2 of 2 runs"
    arguments = ["--objective", "relaxed", "--steps", 2, "--seeds", 2]
    # of a size that no other test compiles, since a program is not traced again
    for command in ("run", "sweep"):
        sizes = ["--dimension", 7] if command == "run" else ["--grid", "dimension=7"]
        status, _, err = call(capsys, command, "linear", *arguments, *sizes)
        assert status == 0
        assert told in err
        assert "warning: 2 seeds: with fewer than 16 a 95 % interval may cover far less" in err


def test_whole_numbers_stay_whole_beside_a_method_without_them():
    grid = make_grid(
        {"environment": "linear", "objective": "myopic,exact", "grid": {"horizon": "1,2"}, "seeds": 2}
    )
    result = execution.run_grid(dataclasses.replace(grid, steps=2, every=1))
    assert list(table(result)["horizon"]) == [None, 1, 2]
    assert json.loads(result.attrs["own"]) == {"myopic": [], "exact": ["horizon"]}
    assert distinct([1200.0, 1300.0]) == ["1200", "1300"]
