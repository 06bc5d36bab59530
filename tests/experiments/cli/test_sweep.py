"""`fpo-jax sweep`: its options, what it prints, and one clear line for bad input."""

import ipaddress
import socket
import subprocess
import sys
import time

import jax.numpy as jnp
import psutil
import pytest

from fpo_jax.envs.linear import Linear
from fpo_jax.experiments.cli.sweep import _axes
from fpo_jax.experiments.core.wording import distinct
from fpo_jax.experiments.sweeps.grid import make_grid
from tests.helpers import call, complaint


def test_spaces_around_values_are_accepted():
    wishes = {"environment": "linear", "objective": "relaxed"}
    assert _axes(["weight = 0.1, 0.2", " rm-lr = 0.001 : 1 : 4 : log "]) == {
        "weight": "0.1, 0.2",
        "rm_lr": "0.001 : 1 : 4 : log",
    }
    spaced = make_grid({**wishes, "grid": _axes(["weight = 0.1, 0.2", "rm_lr = 0.001 : 1 : 4 : log"])})
    # equal ratios of 10 from 0.001 to 1
    assert dict(spaced.grid) == {"weight": (0.1, 0.2), "rm_lr": (0.001, 0.01, 0.1, 1.0)}


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
    "another's address": (
        ["--coordinator", "192.0.2.1:7777", "--processes", "2", "--process", "0"],
        "coordinator = 192.0.2.1:7777: must be HOST:PORT, a free address of the machine of process 0",
    ),
    "no port": (["--coordinator", "localhost:99999", "--processes", "1", "--process", "0"], "in 1 … 65535"),
    "too many points": (["--grid", "weight=0:1:1000000000"], "a count >= 2", "and <= 100000"),
    "too wide": (["--width", "1000000000000"], "width = 1000000000000: must be an integer >= 1 and <= "),
    "resume without folder": (["--resume"], "out = nothing: must be the folder of the sweep to resume"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments, *told = BAD[case]
    line = complaint(capsys, "sweep", "linear", "--objective", "relaxed", *arguments)
    assert all(part in line for part in told), line
    assert list(tmp_path.iterdir()) == []


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


def test_the_first_process_listens_where_it_was_told_and_nowhere_else(tmp_path):
    """It waits for another process meanwhile, which never comes."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    cluster = ["--coordinator", f"localhost:{port}", "--processes", "2", "--process", "0"]
    command = [sys.executable, "-m", "fpo_jax", "sweep", "linear", "--out", tmp_path / "out", *cluster]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        listening, until = [], time.monotonic() + 60
        while not listening and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
            found = psutil.Process(process.pid).net_connections("tcp")
            listening = [one.laddr for one in found if one.status == psutil.CONN_LISTEN]
    finally:
        process.kill()
        process.wait()
    assert [place.port for place in listening] == [port]
    assert ipaddress.ip_address(listening[0].ip.removeprefix("::ffff:")).is_loopback
