"""Runs that were interrupted, and go on."""

import json
import shutil

import chex
import pytest

from fpo_jax.experiments.runs import states
from fpo_jax.experiments.runs import unfinished as unfinished_runs
from fpo_jax.experiments.runs.unfinished import UnfinishedRun
from tests.helpers import LONG_RUN, arrays, call, complaint


@pytest.fixture
def unfinished(finished, tmp_path):
    """The folder of an interrupted run, for one test."""
    shutil.copytree(finished / "cut.partial", tmp_path / "cut.partial")
    return tmp_path / "cut"


@pytest.mark.parametrize("damaged", [None, "done-21-31.npz"])
def test_an_interrupted_run_is_resumed_to_the_last_bit(damaged, unfinished, finished, monkeypatch, capsys):
    if damaged is not None:  # what follows it is lost
        path = unfinished.with_name("cut.partial") / damaged
        path.write_bytes(path.read_bytes()[:-100])
    seen, watch = [], UnfinishedRun.watch
    monkeypatch.setattr(UnfinishedRun, "watch", lambda self, at: seen.append(at.done) or watch(self, at))
    status, _, err = call(capsys, *LONG_RUN, "--save-states", "--resume", "--out", unfinished)
    assert status == 0, err
    assert seen[0] == (71 if damaged is None else 31)
    assert not unfinished.with_name("cut.partial").exists()
    for file in ("metrics.npz", "states.npz"):
        chex.assert_trees_all_equal(arrays(unfinished, file), arrays(finished / "whole", file))


def test_what_cannot_be_resumed_is_said(unfinished, capsys, monkeypatch, tmp_path):
    again = [*LONG_RUN, "--resume", "--out", unfinished]
    told = complaint(capsys, *LONG_RUN, "--out", unfinished)
    assert "must be resumed with --resume, or" in told
    assert "save_states = False: must be True, as in the run to resume" in complaint(capsys, *again)
    told = complaint(capsys, *again, "--save-states", "--seed", "4")
    assert "seed = 4: must be 0, as in the run to resume" in told
    for option in ("--resume", "--save-states"):
        assert f"out = nothing: must be a folder, for {option}" in complaint(capsys, *LONG_RUN, option)
    monkeypatch.setattr(states, "size", lambda settings: 10**18)
    told = complaint(capsys, *LONG_RUN, "--save-states", "--out", tmp_path / "large")
    assert "save_states = 1e+09 GB: must be at most" in told
    assert len(list(unfinished.with_name("cut.partial").glob("*.npz"))) == 6
    assert not (tmp_path / "large").exists()


def test_how_to_go_on_is_said(capsys, tmp_path, monkeypatch):
    watch = UnfinishedRun.watch

    def interrupted(self, partway):
        watch(self, partway)
        raise KeyboardInterrupt

    monkeypatch.setattr(UnfinishedRun, "watch", interrupted)
    out = tmp_path / "cut"
    status, _, err = call(capsys, *LONG_RUN, "--out", out)  # it is soon done again
    assert (status, err.splitlines()[-1]) == (130, "fpo-jax: interrupted; nothing was written")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(unfinished_runs, "KEEP_EVERY", -1e9)
    status, _, err = call(capsys, *LONG_RUN, "--save-states", "--device", "cpu", "--out", out)
    assert status == 130
    assert err.splitlines()[-1] == (
        "fpo-jax: interrupted; what is done is saved; resume with `fpo-jax run linear --objective myopic "
        f"--seeds 3 --steps 200 --record outcome --dimension 4 --save-states --resume --out {out} "
        "--device cpu`"
    )


def test_what_is_done_is_not_done_again(finished, capsys, monkeypatch):
    def again(*_, **__):
        raise AssertionError("it runs again")

    monkeypatch.setattr("fpo_jax.experiments.runs.execution.execute", again)
    whole = finished / "whole"
    status, out, err = call(capsys, *LONG_RUN, "--save-states", "--resume", "--json", "--out", whole)
    assert (status, err) == (0, f"{whole} holds this run already: nothing is left to do\n")
    assert json.loads(out) == json.loads((whole / "summary.json").read_text(encoding="utf-8"))
    for others in (["--seed", "1", "--save-states"], []):  # other settings, and without its states
        with pytest.raises(AssertionError, match="it runs again"):
            call(capsys, *LONG_RUN, "--resume", *others, "--out", whole)
