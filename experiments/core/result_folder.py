"""The folder of a result: written aside, put in its place by a rename, and replaced without loss.

A manifest lists every file that was written, with its SHA-256. A folder is replaced only if it holds nothing
but these files, each as it was written: a page that was edited since, a note that was laid beside it, a link
and an empty folder are somebody's own, and stop the replacement.
"""

import contextlib
import hashlib
import itertools
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.files import write_json
from fpo_jax.experiments.core.json_files import NotJson, document

MANIFEST = ".fpo-jax.json"
"""Lists the files of a result and their SHA-256."""


def require_writable(out: Path) -> None:
    """Check, before any work, that results can be written to `out`.

    Raises:
        InputError: when it is a file, holds anything that is not as we wrote it, is where the user stands, or
            lies in a place that cannot be written.
    """
    try:
        if out.exists() and not out.is_dir():
            raise InputError("out", out, "a folder, or a name that is free")
        if Path.cwd().is_relative_to(out.resolve()):
            raise InputError("out", out, "another folder than the working directory or one above it")
        if foreign := _foreign(out):
            raise InputError("out", out, f"empty, new, or an earlier result (it holds {foreign[0]})")
        parent = next(folder for folder in out.resolve().parents if folder.exists())
        new_folder(parent / "try").rmdir()
    except OSError as error:
        raise _unwritable(out, error) from error


def finished(out: Path, config: Mapping[str, Any], command: str | None = None) -> dict[str, Any] | None:
    """Return the summary of a folder that holds the result of these settings, by this command; else None."""
    try:
        settings, summary = (document(out / name) for name in ("config.json", "summary.json"))
    except (OSError, NotJson):
        return None
    if settings != json.loads(json.dumps(config)) or not isinstance(summary, dict):
        return None
    return summary if command in (None, summary.get("command")) else None


@contextlib.contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out`; on success it takes the place of `out`, on failure it vanishes.

    Where it is whole and cannot take its place, it is kept as NAME.new, and what `out` held stays there.

    Raises:
        InputError: as `require_writable`, now or when all is written, or when the disk refuses.
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
        write_json(aside / MANIFEST, {"files": _digests(aside)})
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(error, OSError):
            raise _unwritable(out, error) from error
        raise
    try:
        _put_in_place(aside, out)
    except OSError as error:
        raise _unwritable(out, error) from error


def _put_in_place(aside: Path, out: Path) -> None:
    """Rename a whole result to `out`; what stood there is removed if it is still as we wrote it."""
    holder = new_folder(out)
    old = holder / out.name
    try:
        foreign = _foreign(out)  # again, since hours may have passed
        if out.exists() and not foreign:
            os.replace(out, old)
            foreign = _foreign(old, content=False)  # again, where nobody finds it to add anything
        if foreign:
            raise InputError("out", out, f"left alone meanwhile (it now holds {foreign[0]})")
        os.replace(aside, out)
    except (OSError, InputError) as error:
        reason = error.allowed if isinstance(error, InputError) else f"writable ({error.strerror})"
        back = _moved(old, out)
        earlier = f", and what {out.name} held in {back}" if back.exists() and back != out else ""
        new = _moved(aside, _free(f"{out}.new"))
        with contextlib.suppress(OSError):
            holder.rmdir()
        raise InputError("out", out, f"{reason}; the new result stands in {new}{earlier}") from error
    shutil.rmtree(holder)


def _moved(source: Path, target: Path) -> Path:
    """Return where something stands after it was renamed, if it could be."""
    try:
        if not target.exists():
            os.replace(source, target)
            return target
    except OSError:
        pass
    return source


def _free(name: str) -> Path:
    """Return the first of NAME, NAME-2, NAME-3 … that is free."""
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(path for path in map(Path, names) if not os.path.lexists(path))


def new_folder(beside: Path) -> Path:
    """Return a new hidden folder beside a path; who may enter it is the user's umask's affair.

    Raises:
        OSError: it cannot be made.
    """
    folder = beside.with_name(f".{beside.name[:100]}-{secrets.token_hex(4)}")
    folder.mkdir()
    return folder


def _foreign(out: Path, content: bool = True) -> list[str]:
    """Return what a folder holds besides the files of its manifest; if `content`, those that differ, too."""
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
        elif content and name != MANIFEST and _digest(path) != listed[name]:
            found.append(f"{name}, which has changed")
    return sorted(found)


def _entries(folder: Path) -> Iterator[Path]:
    """Yield all that a folder holds, links not followed.

    Raises:
        OSError: a folder in it cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=refuse):
        yield from (Path(place, name) for name in (*folders, *files))


def _listed(out: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that the manifest of a folder lists; nothing where there is none."""
    try:
        files = document(out / MANIFEST)["files"]
        return {name: digest for name, digest in files.items() if isinstance(digest, str)}
    except (OSError, NotJson, TypeError, KeyError, AttributeError):
        return {}


def _digests(folder: Path) -> dict[str, str]:
    files = [path for path in _entries(folder) if path.is_file()]
    return {str(path.relative_to(folder)): _digest(path) for path in sorted(files)}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unwritable(out: Path, error: OSError) -> InputError:
    return InputError("out", out, f"a folder that can be written ({error.strerror})")
