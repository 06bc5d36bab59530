"""The folder of unfinished work takes and removes nothing that is not its own."""

import os

import numpy as np
import pytest

from fpo_jax import InputError
from fpo_jax.experiments.core.unfinished import Unfinished, put


@pytest.fixture
def work(tmp_path):
    return Unfinished(tmp_path / "out", "run")


def begin(work):
    work.begin({"policy_steps": 1})
    work.write_arrays("0-5.npz", {"a": np.arange(3)})


def test_what_is_done_is_removed_whole(work):
    with work.locked():
        begin(work)
        work.finish()
    assert not [*work.folder.parent.iterdir()]


@pytest.mark.parametrize("name", ["note.txt", "model.npz", "figures", "..data", "0-5.npz.bak"])
def test_what_a_user_has_added_stays(name, work, capsys):
    with work.locked():
        begin(work)
        if name == "figures":
            (work.folder / name).mkdir()
        else:
            (work.folder / name).write_text("mine", encoding="utf-8")
        work.finish()
    assert [path.name for path in work.folder.iterdir()] == [name]
    assert [path.name for path in work.folder.parent.iterdir()] == ["out.partial"]
    assert f"out.partial stays: it holds {name}" in capsys.readouterr().err


def test_a_link_is_refused_since_what_is_written_would_go_where_it_leads(work, tmp_path):
    (tmp_path / "precious").write_text("mine", encoding="utf-8")
    with work.locked():
        begin(work)
    (work.folder / "verdicts.jsonl").symlink_to(tmp_path / "precious")
    with (
        pytest.raises(InputError, match=r"free for the run's work \(it holds verdicts.jsonl\)"),
        work.locked(),
    ):
        raise AssertionError("it is taken")
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("mask", [0o077, 0o022])
def test_who_may_read_is_the_users_affair(mask, tmp_path):
    before = os.umask(mask)
    try:
        put(tmp_path / "file", lambda path: path.write_text("text", encoding="utf-8"))
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_cannot_be_saved_leaves_nothing(tmp_path):
    def save(path):
        path.write_text("half", encoding="utf-8")
        raise OSError

    (tmp_path / "file").write_text("whole", encoding="utf-8")
    with pytest.raises(OSError):  # noqa: PT011
        put(tmp_path / "file", save)
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["whole"]
