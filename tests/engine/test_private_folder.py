"""Into which folders nobody but the user can have put anything."""

import os

import pytest

from fpo_jax.engine.private_folder import make_private


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir(mode=0o755)
    return tmp_path / "home"


def test_a_new_folder_is_for_the_user_alone(home):
    assert make_private(home / "cache" / "programs")
    assert (home / "cache" / "programs").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o757, 0o777, 0o775])
def test_a_folder_into_which_others_write_is_none(mode, home, monkeypatch):
    monkeypatch.setattr("grp.getgrgid", lambda number: (_ for _ in ()).throw(KeyError(number)))
    folder = home / "programs"
    folder.mkdir()
    folder.chmod(mode)
    assert not make_private(folder)
    folder.chmod(0o755)  # others may read it
    assert make_private(folder)


def test_nor_one_that_others_can_take_away(home):
    """Whoever writes in a folder above renames ours, and puts another in its place."""
    way = home / "shared"
    way.mkdir()
    way.chmod(0o777)
    assert not make_private(way / "programs")
    way.chmod(0o1777)  # as /tmp is: others leave alone what is not theirs
    assert make_private(way / "programs")
    (home / "link").symlink_to(way)
    way.chmod(0o777)
    assert not make_private(home / "link" / "programs")


def test_where_it_is_has_no_links(home):
    """Whoever owns a link can let it lead elsewhere later."""
    (home / "link").symlink_to(home)
    assert make_private(home / "link" / "programs") == (home / "programs").resolve()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_nor_one_in_a_folder_of_somebody_elses(home):
    """Its owner can put another in its place."""
    stranger = home / "stranger"
    (stranger / "programs").mkdir(parents=True)
    assert make_private(stranger / "programs")
    os.chown(stranger, 12345, -1)
    assert not make_private(stranger / "programs")


def test_nor_one_that_is_somebody_elses(home, monkeypatch):
    folder = home / "programs"
    folder.mkdir(mode=0o700)
    somebody = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody)
    assert not make_private(folder)


def test_a_group_of_which_the_user_is_the_only_member_does_no_harm(home, monkeypatch):
    folder, number = home / "programs", os.getegid()
    folder.mkdir()
    folder.chmod(0o775)

    class Known:
        pw_name = gr_name = "ada"
        pw_gid = number
        gr_mem = ()

    monkeypatch.setattr("pwd.getpwuid", lambda _: Known)
    monkeypatch.setattr("grp.getgrgid", lambda _: Known)
    assert make_private(folder)
    monkeypatch.setattr(Known, "gr_mem", ("ada", "eve"))
    assert not make_private(folder)
