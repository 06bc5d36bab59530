"""A result's folder is replaced without loss: what is not as we wrote it stops the replacement."""

import errno
import hashlib
import json
import os
from unittest.mock import ANY

import pytest

from fpo_jax import InputError
from fpo_jax.experiments.core import result_folder
from fpo_jax.experiments.core.result_folder import MANIFEST, finished, replacing, require_writable


def write(out, content, meanwhile=lambda: None):
    with replacing(out) as folder:
        (folder / "figures").mkdir()
        (folder / "figures" / "one.txt").write_text(content, encoding="utf-8")
        (folder / "page.md").write_text(content, encoding="utf-8")
        meanwhile()


def files(folder):
    found = [path for path in folder.rglob("*.*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in found}


def edit(out, name="page.md"):
    (out / name).write_text("mine", encoding="utf-8")


def link(out):
    """Let a link to a file elsewhere stand where a file of ours stood."""
    elsewhere = out.parent / "elsewhere"
    (out / "page.md").rename(elsewhere)
    (out / "page.md").symlink_to(elsewhere)


@pytest.fixture
def out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "result", "old")
    return tmp_path / "result"


def test_a_result_takes_the_place_of_an_earlier_one(out):
    write(out, "new")
    assert (out / "page.md").read_text(encoding="utf-8") == "new"
    assert [path.name for path in out.parent.iterdir()] == ["result"]
    listed = json.loads((out / MANIFEST).read_text(encoding="utf-8"))["files"]
    mark = {"bytes": 3, "sha256": hashlib.sha256(b"new").hexdigest()}
    assert listed == {"figures/one.txt": mark, "page.md": mark}


FOREIGN = {
    "a note": (lambda out: edit(out, "note.txt"), "note.txt"),
    "a page that was edited": (edit, "page.md, which has changed"),
    "an empty folder": (lambda out: (out / "mine").mkdir(), "mine"),
    "a link to a file": (lambda out: (out / "link").symlink_to(out / "page.md"), "link, a link"),
    "a link to a folder": (lambda out: (out / "figures" / "link").symlink_to("/"), "figures/link, a link"),
    "a link in the place of a file": (link, "page.md, a link"),
    "a pipe": (lambda out: os.mkfifo(out / "pipe"), "pipe"),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("meanwhile", [False, True])
def test_what_is_somebody_elses_stays(name, meanwhile, out):
    """Whether it is there before, or is added while the new result is written."""
    add, said = FOREIGN[name]
    if meanwhile:
        with pytest.raises(InputError, match=f"it now holds {said}.*the new result is in .*result.new$"):
            write(out, "new", lambda: add(out))
        assert files(out.with_name("result.new"))["page.md"] == "new"
    else:
        add(out)
        with pytest.raises(InputError, match=f"it holds {said}"):
            write(out, "new")
    assert "new" not in files(out).values()
    assert not [path for path in out.parent.iterdir() if path.name.startswith(".")]


def test_a_file_that_is_named_in_a_manifest_of_somebodys_hand_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work", encoding="utf-8")
    marks = {"bytes": 13, "sha256": "0" * 64}, {"sha256": hashlib.sha256(b"years of work").hexdigest()}
    named = [{"thesis.tex": mark} for mark in (None, "0" * 64, *marks)]
    for listed in (["thesis.tex"], *named, "thesis.tex", 7):
        (out / MANIFEST).write_text(json.dumps({"files": listed}), encoding="utf-8")
        with pytest.raises(InputError, match=r"it holds thesis\.tex"):
            require_writable(out)


@pytest.mark.parametrize("content", ["[" * 200_000, "null", '{"files": {"..": "x"}}', "\x00", ""])
def test_a_manifest_that_is_none_lists_nothing(content, out):
    (out / MANIFEST).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="it holds figures"):
        require_writable(out)
    assert finished(out, {}) is None


def failing(monkeypatch, *numbers):
    """Let renames of these numbers, from 1, fail as on a full disk."""
    count, replace = iter(range(1, 100)), os.replace

    def rename(source, target):
        if next(count) in numbers:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", rename)


def test_a_disk_that_refuses_the_second_rename_loses_neither(out, monkeypatch):
    failing(monkeypatch, 2)
    with pytest.raises(InputError, match=r"No space left on device\); the new result is in .*result.new$"):
        write(out, "new")
    assert files(out)["page.md"] == "old"
    assert files(out.with_name("result.new"))["page.md"] == "new"
    assert sorted(path.name for path in out.parent.iterdir()) == ["result", "result.new"]


def test_a_disk_that_refuses_every_rename_from_the_second_on_is_told_where_both_are(out, monkeypatch):
    failing(monkeypatch, *range(2, 100))
    with pytest.raises(InputError) as error:
        write(out, "new")
    said = str(error.value)
    new, old = (word.rstrip(",") for word in said.split() if "/." in word)
    assert "the new result is in" in said
    assert "what result held in" in said
    with open(f"{new}/page.md", encoding="utf-8") as page:
        assert page.read() == "new"
    with open(f"{old}/page.md", encoding="utf-8") as page:
        assert page.read() == "old"


def test_an_earlier_failure_is_not_overwritten_either(out, monkeypatch):
    for number in range(2):
        with pytest.raises(InputError, match=r"result\.new"):
            write(out, f"new {number}", lambda: edit(out, "note.txt"))
        (out / "note.txt").unlink()
    kept = {path.name: files(path)["page.md"] for path in out.parent.iterdir() if path != out}
    assert kept == {"result.new": "new 0", "result.new-2": "new 1"}


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o002])
def test_who_may_read_is_the_users_affair(mask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = os.umask(mask)
    try:
        write(tmp_path / "result", "new")
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "result").rglob("*.*")}
    assert modes == {0o666 & ~mask}
    assert (tmp_path / "result").stat().st_mode & 0o777 == 0o777 & ~mask


def test_a_name_that_the_disk_does_not_take_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"File name too long"):
        require_writable(tmp_path / ("a" * 300))
    write(tmp_path / ("a" * 255), "new")  # the longest that it takes


def test_what_is_added_at_the_last_moment_stays(out, monkeypatch):
    """Between the look at the folder and its rename."""
    replace = os.replace

    def rename(source, target):
        if source == out:
            edit(out, "note.txt")
        replace(source, target)

    monkeypatch.setattr(os, "replace", rename)
    with pytest.raises(InputError, match=r"it now holds note\.txt.*result\.new$"):
        write(out, "new")
    assert files(out) == {"page.md": "old", "figures/one.txt": "old", "note.txt": "mine", MANIFEST: ANY}
    assert files(out.with_name("result.new"))["page.md"] == "new"


@pytest.mark.parametrize("number", [1, 2])
def test_an_interruption_while_it_takes_its_place_loses_neither(number, out, monkeypatch, capsys):
    count, replace = iter(range(1, 100)), os.replace

    def rename(source, target):
        if next(count) == number:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", rename)
    with pytest.raises(KeyboardInterrupt):
        write(out, "new")
    assert files(out)["page.md"] == "old"
    assert files(out.with_name("result.new"))["page.md"] == "new"
    assert capsys.readouterr().err == f"interrupted: the new result is in {out}.new\n"
    assert sorted(path.name for path in out.parent.iterdir()) == ["result", "result.new"]


def test_what_a_kill_between_the_renames_left_is_named(out):
    holder = out.with_name(".result-0123abcd")
    holder.mkdir()
    out.rename(holder / "result")
    with pytest.raises(
        InputError, match=r"its earlier result in .*/\.result-0123abcd/result.*move that back"
    ):
        write(out, "new")
    (holder / "result").rename(out)
    holder.rmdir()
    write(out, "new")


def test_a_private_folder_stays_so(out):
    out.chmod(0o700)
    write(out, "new")
    assert out.stat().st_mode & 0o777 == 0o700


def test_a_file_that_is_larger_than_its_disk_is_not_read(out):
    """A file with holes of some terabytes takes no room, and hours to read."""
    listed = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    listed["files"]["page.md"] = {"bytes": 2**43, "sha256": "0" * 64}
    (out / MANIFEST).write_text(json.dumps(listed), encoding="utf-8")
    os.truncate(out / "page.md", 2**43)
    with pytest.raises(InputError, match=r"it holds page\.md, which has changed"):
        require_writable(out)


def test_what_fails_while_it_is_written_leaves_nothing(out):
    with pytest.raises(ZeroDivisionError):
        write(out, "new", lambda: 1 / 0)
    assert [path.name for path in out.parent.iterdir()] == ["result"]


def test_links_in_a_circle_are_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(InputError, match=r"out = .*circle: must be a folder"):
        require_writable(tmp_path / "circle")


def test_a_pipe_in_the_place_of_a_manifest_is_not_waited_for(out):
    (out / MANIFEST).unlink()
    os.mkfifo(out / MANIFEST)
    with pytest.raises(InputError, match="it holds "):
        require_writable(out)
    assert finished(out, {}) is None


def test_a_disk_on_which_nothing_can_be_made_any_more_keeps_the_new_result(out, monkeypatch):
    def refuse(beside):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full():
        monkeypatch.setattr(result_folder, "new_folder", refuse)

    with pytest.raises(InputError, match=r"No space left .*; the new result is in .*result\.new$"):
        write(out, "new", full)
    assert files(out)["page.md"] == "old"
    assert files(out.with_name("result.new"))["page.md"] == "new"
