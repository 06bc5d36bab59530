"""Results on disk: written aside, then put in place by a rename, so that nothing is ever half-written."""

import importlib.metadata
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

import fpo_jax
from fpo_jax.errors import InputError

MANIFEST = ".fpo-jax.json"
"""Lists the files of a result, so that a folder is replaced only if every file in it was written by us."""


def require_writable(out: Path) -> None:
    """Check, before any work, that results can be written to `out`.

    Raises:
        InputError: when it is a file, holds anything that we did not write, is where the user stands, or
            lies in a place that cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise InputError("out", out, "a folder, or a name that is free")
    if Path.cwd().is_relative_to(out.resolve()):
        raise InputError("out", out, "another folder than the working directory or one above it")
    foreign = _foreign_files(out)
    if foreign:
        raise InputError("out", out, f"empty, new, or an earlier result (it holds {foreign[0]})")
    parent = out.resolve().parent
    while not parent.exists():
        parent = parent.parent
    try:
        tempfile.TemporaryDirectory(dir=parent).cleanup()
    except OSError as error:
        raise _unwritable(out, error) from error


def _foreign_files(out: Path) -> list[str]:
    """Return the files in a folder that its manifest does not list."""
    present = {str(path.relative_to(out)) for path in out.rglob("*") if not path.is_dir()}
    try:
        ours = {*json.loads((out / MANIFEST).read_text(encoding="utf-8"))["files"], MANIFEST}
    except (OSError, ValueError, TypeError, KeyError):
        ours = set()
    return sorted(present - ours)


def _unwritable(out: Path, error: OSError) -> InputError:
    return InputError("out", out, f"a folder that can be written ({error.strerror})")


def finished(out: Path, config: Mapping[str, Any], command: str | None = None) -> dict[str, Any] | None:
    """Return the summary of a folder that holds the result of these settings, by this command; else None."""
    try:
        settings, summary = (
            json.loads((out / name).read_text(encoding="utf-8")) for name in ("config.json", "summary.json")
        )
    except (OSError, ValueError):
        return None
    same = settings == json.loads(json.dumps(config)) and command in (None, summary.get("command"))
    return summary if same else None


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out`; on success it takes the place of `out`, on failure it vanishes.

    Raises:
        InputError: as `require_writable`, or when the disk refuses.
    """
    require_writable(out)
    out = out.resolve()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise _unwritable(out, error) from error
    try:
        aside.chmod(0o755)
        yield aside
        write_json(aside / MANIFEST, {"files": _foreign_files(aside)})
        if out.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=out.parent))
            os.replace(out, old / out.name)
            os.replace(aside, out)
            shutil.rmtree(old)
        else:
            os.replace(aside, out)
    except OSError as error:
        raise _unwritable(out, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """Write one JSON document, with undefined numbers refused rather than written as NaN."""
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def provenance(command: str, precision: str, more: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a reader needs to judge a number: the command, versions, device, precision."""
    packages = ("jax", "jaxlib", "lineax", "optax", "flax", "numpy", "scipy", *more)
    return {
        "command": command,
        "versions": {
            "fpo-jax": fpo_jax.__version__,
            **{name: importlib.metadata.version(name) for name in packages},
            "python": platform.python_version(),
        },
        "device": str(jax.devices()[0].device_kind),
        "platform": jax.default_backend(),
        "precision": precision,
    }
