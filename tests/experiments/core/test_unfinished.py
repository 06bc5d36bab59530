"""The folder of unfinished work takes and removes nothing that is not its own."""

import os

import numpy as np
import pytest

from fpo_jax import InputError
from fpo_jax.experiments.core import unfinished
from fpo_jax.experiments.core.unfinished import Unfinished, put


@pytest.fixture
def work(tmp_path):
    return Unfinished(tmp_path / "out", "run")


def begin(work):
    work.begin({"policy_steps": 1})
    work.write_arrays("done-0-5.npz", {"a": np.arange(3)})


def test_what_is_done_is_removed_whole(work):
    with work.locked():
        begin(work)
        work.finish()
    assert not [*work.folder.parent.iterdir()]


@pytest.mark.parametrize(
    "name", ["note.txt", "model.npz", "figures", "..data", "done-0-5.npz.bak", "2024-2025.npz", "my-data.npz"]
)
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
        pytest.raises(InputError, match=r"free for the run's work, but it holds verdicts.jsonl"),
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


def test_a_link_in_the_place_of_the_folder_is_refused(work, tmp_path):
    """What stands where it leads is somebody's, whatever its name."""
    (tmp_path / "mine").mkdir()
    for name in ("config.json", "lock", ".aside-0123abcd", "done-0-5.npz"):
        (tmp_path / "mine" / name).write_text("mine", encoding="utf-8")
    work.folder.symlink_to(tmp_path / "mine")
    with pytest.raises(InputError, match="free for the run's work, and no link"), work.locked():
        raise AssertionError("it is taken")
    assert len([*(tmp_path / "mine").iterdir()]) == 4


@pytest.mark.parametrize("name", ["lock", ".aside-notes", "note.txt"])
def test_a_folder_of_somebodys_is_left_as_it_is(name, work):
    work.folder.mkdir()
    (work.folder / name).write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="free for the run's work"), work.locked():
        raise AssertionError("it is taken")
    assert [path.read_text(encoding="utf-8") for path in work.folder.iterdir()] == ["mine"]


def test_only_one_is_at_work_also_where_another_has_just_ended(work):
    first, second, third = (Unfinished(work.folder.with_suffix(""), "run") for _ in range(3))
    with first.locked():
        begin(first)
        with pytest.raises(InputError, match="another run is writing to it"), second.locked():
            raise AssertionError("it is taken")
        first.finish()
        taken = second.locked()
        taken.__enter__()  # in a folder of its own, though the first still holds its lock
    with pytest.raises(InputError, match="another run is writing to it"), third.locked():
        raise AssertionError("it is taken")
    taken.__exit__(None, None, None)


def test_nothing_of_a_configuration_acts_on_a_terminal(work, capsys):
    with work.locked():
        work.begin({"policy_steps": 1, "device": "\x1b]0;mine\x07" + "a" * 10**6})
        work.resumed({"policy_steps": 1})
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert len(said) < 2000
    assert r"begun with device \x1b]0;mine\x07aaa" in said


def test_no_pickle_is_written(work):
    with work.locked(), pytest.raises(ValueError, match="Object arrays cannot be saved"):
        work.write_arrays("done-0-5.npz", {"a": np.array([{}], dtype=object)})


def test_a_folder_that_is_taken_away_before_it_is_locked_is_not_taken(work, monkeypatch):
    """Another ends its work, and removes the folder, between our look at it and our lock."""
    flock = unfinished.fcntl.flock

    def late(lock, how):
        work.folder.rename(work.folder.with_name("gone"))
        flock(lock, how)

    monkeypatch.setattr(unfinished.fcntl, "flock", late)
    with pytest.raises(InputError, match="another run is writing to it"), work.locked():
        raise AssertionError("it is taken")
