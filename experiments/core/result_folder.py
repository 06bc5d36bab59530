"""The folder of a result: written elsewhere, moved into place by a rename, and replaced without loss.

A manifest lists every written file with its size and its SHA-256. A folder is replaced only if it holds
nothing but these files, unchanged. An edited page, an added note, a link or an empty folder belongs to
somebody, and stops the replacement.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fpo_jax.errors import InputError, visible
from fpo_jax.experiments.core.files import write_json
from fpo_jax.experiments.core.json_files import NotJson, document, open_plain

MANIFEST = ".fpo-jax.json"
"""Lists the files of a result, their sizes and their SHA-256."""
Mark = dict[str, Any]
"""The fingerprint of a file: its `bytes` and their `sha256`."""


def require_writable(out: Path) -> None:
    """Check, before any work, that results can be written to `out`.

    Raises:
        InputError: when it is a file, holds anything that we did not write, contains the working directory,
            or cannot be written.
    """
    try:
        if (out.exists() and not out.is_dir()) or out.resolve().is_symlink():  # the latter leads to itself
            raise InputError("out", out, "a folder, or an unused name")
        if Path.cwd().is_relative_to(out.resolve()):
            raise InputError("out", out, "another folder than the working directory or one above it")
        if left := _left_by_a_kill(out):
            allowed = f"restored: a command that was killed left its earlier result in {left}"
            raise InputError("out", out, f"{allowed}; move that back, or remove it")
        if foreign := _foreign(out):
            raise InputError("out", out, f"empty, new, or an earlier result, but it holds {foreign[0]}")
        parent = next(folder for folder in out.resolve().parents if folder.exists())
        new_folder(parent / "try").rmdir()
    except (OSError, RuntimeError) as error:  # the latter of links in a circle
        raise _unwritable(out, error) from error


def finished(out: Path, config: Mapping[str, Any], command: str | None = None) -> dict[str, Any] | None:
    """Return the summary of a folder with the result of these settings and this command, else None."""
    try:
        settings, summary = (document(out / name) for name in ("config.json", "summary.json"))
    except (OSError, NotJson):
        return None
    if settings != json.loads(json.dumps(config)) or not isinstance(summary, dict):
        return None
    return summary if command in (None, summary.get("command")) else None


@contextlib.contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out`; on success it replaces `out`, on failure it is removed.

    If it is complete but cannot replace `out`, it is kept as NAME.new, and `out` stays unchanged.

    Raises:
        InputError: as `require_writable`, at the start or at the end, or when the disk refuses.
    """
    require_writable(out)
    out = out.resolve()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = new_folder(out)
    except OSError as error:
        raise _unwritable(out, error) from error
    try:
        yield aside
        write_json(aside / MANIFEST, {"files": _marks(aside)})
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(error, OSError):
            raise _unwritable(out, error) from error
        raise
    _put_in_place(aside, out)


def _put_in_place(aside: Path, out: Path) -> None:
    """Rename a complete result to `out`, and remove the earlier one if it is still as we wrote it."""
    try:
        holder = new_folder(out)
    except OSError as error:
        new = _moved(aside, _free(f"{out}.new"))
        allowed = f"writable ({error.strerror}); the new result is in {new}"
        raise InputError("out", out, allowed) from error
    old = holder / out.name
    try:
        foreign = _foreign(out)  # again, since hours may have passed
        if out.exists() and not foreign:
            aside.chmod(stat.S_IMODE(out.stat().st_mode))
            os.replace(out, old)
            foreign = _foreign(old, content=False)  # again, in a place where nobody adds anything
        if foreign:
            raise InputError("out", out, f"unchanged while we work, but it now holds {foreign[0]}")
        os.replace(aside, out)
    except BaseException as error:
        where = _brought_back(aside, out, holder)
        if not isinstance(error, OSError | InputError):
            sys.stderr.write(visible(f"interrupted: {where}") + "\n")
            raise
        reason = error.allowed if isinstance(error, InputError) else f"writable ({error.strerror})"
        raise InputError("out", out, f"{reason}; {where}") from error
    try:
        shutil.rmtree(holder)
    except OSError as error:
        said = f"{out} is written; what it held before could not be removed from {holder} ({error.strerror})"
        sys.stderr.write(visible(said) + "\n")


def _brought_back(aside: Path, out: Path, holder: Path) -> str:
    """Move everything back, and return a message on where the new result is and what stayed."""
    back = _moved(holder / out.name, out)
    earlier = f", and what {out.name} held in {back}" if back.exists() and back != out else ""
    new = _moved(aside, _free(f"{out}.new")) if aside.exists() else out
    with contextlib.suppress(OSError):
        holder.rmdir()
    return f"the new result is in {new}{earlier}"


def _left_by_a_kill(out: Path) -> Path | None:
    """Return the place of a result that a killed command had moved aside."""
    out = out.resolve()
    if out.exists() or not out.parent.is_dir():
        return None
    name = re.compile(re.escape(_hidden(out)) + "[0-9a-f]{8}")
    holders = (path for path in out.parent.iterdir() if name.fullmatch(path.name))
    return next((path / out.name for path in holders if (path / out.name).is_dir()), None)


def _moved(source: Path, target: Path) -> Path:
    """Rename something if possible, and return its place."""
    try:
        if not target.exists():
            os.replace(source, target)
            return target
    except OSError:
        pass
    return source


def _free(name: str) -> Path:
    """Return the first unused name among NAME, NAME-2, NAME-3 …"""
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(path for path in map(Path, names) if not os.path.lexists(path))


def new_folder(beside: Path) -> Path:
    """Return a new hidden folder beside a path, with permissions by the user's umask.

    Raises:
        OSError: it cannot be made.
    """
    folder = beside.with_name(f"{_hidden(beside)}{secrets.token_hex(4)}")
    folder.mkdir()
    return folder


def _hidden(out: Path) -> str:
    """Return the prefix of hidden folders beside a path."""
    return f".{out.name[:100]}-"


def _foreign(out: Path, content: bool = True) -> list[str]:
    """Return the entries of a folder that are not in its manifest; with `content`, also changed files."""
    if not out.exists():
        return []
    listed = _listed(out)
    folders = {str(parent) for name in listed for parent in Path(name).parents}
    found = []
    for path in _entries(out):
        name = str(path.relative_to(out))
        if path.is_symlink():
            found.append(f"{name}, a link")
        elif path.is_dir():
            found += [] if name in folders else [name]
        elif not path.is_file() or name not in {*listed, MANIFEST}:
            found.append(name)
        elif content and name != MANIFEST and not _is_still(path, listed[name]):
            found.append(f"{name}, which has changed")
    return sorted(found)


def _entries(folder: Path) -> Iterator[Path]:
    """Yield all entries of a folder, without following links.

    Raises:
        OSError: a folder in it cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=refuse):
        yield from (Path(place, name) for name in (*folders, *files))


def _listed(out: Path) -> dict[str, Mark]:
    """Return the fingerprints in the manifest of a folder; {} if there is none."""
    try:
        files = document(out / MANIFEST)["files"]
        return {name: mark for name, mark in files.items() if isinstance(mark, dict)}
    except (OSError, NotJson, TypeError, KeyError, AttributeError):
        return {}


def _is_still(path: Path, mark: Mark) -> bool:
    """Say whether a file is unchanged; a file of another size, or larger than its disk, is not read."""
    size, disk = path.stat().st_size, shutil.disk_usage(path.parent).total
    return size == mark.get("bytes") and not 0 < disk < size and _mark(path) == mark


def _marks(folder: Path) -> dict[str, Mark]:
    files = [path for path in _entries(folder) if path.is_file()]
    return {str(path.relative_to(folder)): _mark(path) for path in sorted(files)}


def _mark(path: Path) -> Mark:
    with open_plain(path) as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _unwritable(out: Path, error: OSError | RuntimeError) -> InputError:
    reason = getattr(error, "strerror", None) or error
    return InputError("out", out, f"a folder that can be written ({reason})")
