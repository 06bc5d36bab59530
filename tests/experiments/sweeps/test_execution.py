"""Sweeps that are interrupted, killed, damaged or out of room, and go on."""

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

import numpy as np
import pytest

from fpo_jax.engine.sweep import Sweep
from fpo_jax.experiments.core import unfinished as unfinished_folder
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.core.unfinished import Unfinished
from fpo_jax.experiments.runs.execution import execute
from fpo_jax.experiments.sweeps import execution
from fpo_jax.experiments.sweeps.grid import make_grid
from tests.helpers import SWEEP, arrays, call, complaint


def require_equal(folder, other):
    mine, theirs = arrays(folder), arrays(other)
    assert mine.keys() == theirs.keys()
    for name, values in mine.items():
        np.testing.assert_array_equal(values, theirs[name], err_msg=name)


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


def test_unfinished_sweeps_are_not_overwritten_or_confused(unfinished, capsys, tmp_path):
    assert "must be resumed with --resume, or" in complaint(capsys, *SWEEP, "--out", unfinished)
    other = [
        *SWEEP[:-6],
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
    assert "seeds = 6: must be 5, as in the sweep to resume" in complaint(capsys, *other)
    wide = ["sweep", "--resume", "--width", "8", "--out", unfinished]
    assert "width = 8: must be 4, as in the sweep to resume" in complaint(capsys, *wide)
    some = ["sweep", "--resume", "--seeds", "6", "--out", unfinished]  # all else is as it was begun
    assert "seeds = 6: must be 5, as in the sweep to resume" in complaint(capsys, *some)
    told = complaint(capsys, "run", "linear", "--resume", "--out", unfinished)
    assert "must be settings of run; this file is for `fpo-jax sweep" in told
    with Unfinished(unfinished, "sweep").locked():
        told = complaint(capsys, "sweep", "--resume", "--out", unfinished)
    assert "cut.partial: must be free, but another sweep is writing to it" in told
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
        told = complaint(capsys, *SWEEP, "--out", out)
    assert "(No space left on device); what is done is saved: continue with --resume" in told
    names = {path.name for path in tmp_path.glob("full.partial/*")} - {"lock"}
    assert len(names) == 3  # two chunks, the configuration
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(unfinished_folder.shutil, "disk_usage", lambda path: Usage(0, 0, 10_000))
    told = complaint(capsys, *SWEEP, "--out", tmp_path / "big")
    assert "GB on the disk: --every 3 fits" in told, told
    assert not (tmp_path / "big.partial").exists()


def test_what_is_not_ours_is_left_alone(capsys, tmp_path):
    thesis = tmp_path / "mine.partial" / "thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("years of work", encoding="utf-8")
    assert "free for the sweep's work, but it holds thesis.txt" in complaint(
        capsys, *SWEEP, "--out", tmp_path / "mine"
    )
    assert thesis.read_text(encoding="utf-8") == "years of work"
    (tmp_path / "other.partial").write_text("a file", encoding="utf-8")
    assert "a folder that can be written" in complaint(capsys, *SWEEP, "--out", tmp_path / "other")


def test_interrupted_before_anything_was_done(monkeypatch, capsys, tmp_path):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Sweep, "__init__", interrupted)
    status, _, err = call(capsys, *SWEEP, "--out", tmp_path / "early")
    assert (status, "resume with" in err) == (130, False)
    assert list(tmp_path.iterdir()) == []


def test_resumed_where_nothing_was_begun(finished, capsys, monkeypatch, tmp_path):
    told = complaint(capsys, "sweep", "--resume", "--out", tmp_path / "nowhere")
    assert "nowhere.partial: must be an interrupted sweep, but there is none" in told
    assert list(tmp_path.iterdir()) == []
    # killed while it compiled, or while its configuration was written: nothing of it is there but a lock
    partial = tmp_path / "cut.partial"
    partial.mkdir()
    (partial / "lock").touch()
    (partial / ".aside-0123abcd").write_text("{", encoding="utf-8")

    def killed(sweep, chunk):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Sweep, "compute", killed)
        assert call(capsys, *SWEEP, "--resume", "--out", tmp_path / "cut")[0] == 130
    assert {path.name for path in partial.iterdir()} == {"lock", "config.json"}  # no chunk is done
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
    for options in ([], SWEEP[1:]):
        status, out, err = call(capsys, "sweep", *options, "--resume", "--json", "--out", finished)
        assert (status, err) == (0, f"{finished} holds this sweep already: nothing is left to do\n")
        assert json.loads(out) == json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    with pytest.raises(AssertionError, match="it runs again"):
        call(capsys, *SWEEP, "--seed", "1", "--resume", "--out", finished)


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


def test_a_sweep_meets_the_instances_of_a_run():
    # in float32 and in float64, seed by seed: the optimum says which instance it is
    wishes = {"environment": "bandit", "objective": "exact", "seeds": 4, "steps": 1, "record": "outcome"}
    grid, settings = make_grid(wishes), resolve(wishes)
    assert (grid.precision, settings.precision) == ("float32", "float64")
    optima, run = execution.run_grid(grid)["optimum"].values.ravel(), execute(settings)
    np.testing.assert_allclose(optima, run.optimum, rtol=1e-7)
    # those that a run always had; single random numbers gave a sweep 0.9989 0.8773 0.9376 0.9548
    np.testing.assert_allclose(run.optimum, [0.9933, 0.9470, 0.9084, 0.9939], atol=5e-5)
