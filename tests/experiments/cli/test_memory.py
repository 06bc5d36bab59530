"""What cannot fit into memory ends in one line: of every command, under a limit of the address space."""

import os
import resource
import subprocess
import sys

import pytest

from fpo_jax.experiments.cli import main as cli
from tests.helpers import complaint

LIMIT = 8 * 2**30
TOO_LARGE = {
    "run, seeds": ["run", "linear", "--seeds", "1000000000"],
    "run, seeds that a kernel would grant": ["run", "linear", "--seeds", "300000000", "--steps", "5"],
    "run, steps": ["run", "linear", "--steps", "2000000000"],
    "run, no number of steps": ["run", "linear", "--steps", "1000000000000"],
    "run, cells": ["run", "gridworld", "--rows", "100000", "--columns", "100000"],
    "run, cells that are allowed": ["run", "gridworld", "--rows", "1000", "--columns", "1000"],
    "run, states": ["run", "garnet", "--states", "2147483647"],
    "run, moves": ["run", "corridor", "--long", "2147483647"],
    "run, moves that are allowed": ["run", "corridor", "--long", "1000000"],
    "run, arms": ["run", "bandit", "--ordinary", "1000000000"],
    "run, answers": ["run", "language", "--responses", "2000000000", "--seeds", "1"],
    "run, layers": ["run", "language", "--layers", "1000000000"],
    "run, widths": ["run", "neural", "--rm-hidden", "1000000000,1000000000"],
    "sweep, seeds": ["sweep", "linear", "--seeds", "1000000000"],
    "sweep, values": ["sweep", "linear", "--grid", "policy_lr=0.1:1:1000000000000"],
    "sweep, points": [
        *("sweep", "linear", "--grid", "policy_lr=0.1:1:1000", "--grid", "rm_lr=0.1:1:1000"),
        *("--grid", "weight_decay=0:1:1000"),
    ],
    "sweep, width": ["sweep", "linear", "--width", "30000000", "--seeds", "4"],
    "decompose, seeds": ["decompose", "bandit", "--seeds", "1000000000"],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only there is the address space limited")
@pytest.mark.parametrize("case", TOO_LARGE)
def test_under_a_limit(case, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))

    done = subprocess.run(
        [sys.executable, "-m", "fpo_jax", *TOO_LARGE[case], "--out", tmp_path / "out"],
        preexec_fn=limit,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("fpo-jax: error: ")]
    assert (done.returncode, len(lines)) == (2, 1), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating")]
)
def test_where_the_estimate_was_too_low_one_line_says_so(error, monkeypatch, capsys):
    def command(options):
        raise error

    monkeypatch.setitem(cli.COMMANDS, "list", command)
    assert "memory = used up: must be enough" in complaint(capsys, "list")


def test_a_divisor_is_found_without_counting_to_it():
    from fpo_jax.experiments.sweeps.grid import divisors

    assert divisors(2**31 - 1) == [1, 2**31 - 1]
    assert divisors(36) == [1, 2, 3, 4, 6, 9, 12, 18, 36]
