"""Folders that nobody but the user can write to."""

import grp
import os
import pwd
import stat
from pathlib import Path


def make_private(folder: Path) -> Path | None:
    """Make a folder for the user alone, and return its path, or None if others can write to it.

    The user must own it, and nobody else may write to it or rename a folder on the way to it. The user or
    root must own each of those, and others may write there only if, as in /tmp, they cannot touch files of
    others. Root can write everywhere. The returned path has no links, which somebody could redirect later.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = folder.resolve()
    return folder if is_own(folder.stat()) and all(map(_is_safe_way, folder.parents)) else None


def is_own(found: os.stat_result) -> bool:
    """Say whether a file or a folder is the user's, and nobody else may write to it."""
    return found.st_uid == os.geteuid() and not _others_write(found)


def _is_safe_way(folder: Path) -> bool:
    found = folder.stat()
    nobody_renames = not _others_write(found) or bool(found.st_mode & stat.S_ISVTX)
    return found.st_uid in (0, os.geteuid()) and nobody_renames


def _others_write(found: os.stat_result) -> bool:
    others, group = found.st_mode & stat.S_IWOTH, found.st_mode & stat.S_IWGRP
    return bool(others) or (bool(group) and not _is_own_group(found.st_gid))


def _is_own_group(number: int) -> bool:
    """Say whether a group belongs to one user of the same name, as many systems create for everybody."""
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(number)
    except KeyError:
        return False
    return number == user.pw_gid and group.gr_name == user.pw_name and {*group.gr_mem} <= {user.pw_name}
