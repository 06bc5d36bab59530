"""The folder of a model from somebody else: the only access to its files.

Nothing in it is trusted. Only files with known names are opened, and the weights that its index names; each
must be in the folder itself. Libraries load from a view that contains only these files. So the loaded files,
the checked files and the files in a run's digest are the same.
"""

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.json_files import NotJson, document

INDEX, WEIGHTS = "model.safetensors.index.json", "model.safetensors"
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "config.json",
)
"""Files of a tokenizer."""
OTHERS = ("generation_config.json", INDEX)
MOST_BYTES = 2**28
"""Maximum bytes of a tokenizer's file; that of Llama 3 has 17 MB."""


def inside(folder: Path, name: str, what: str) -> Path:
    """Return the path of a file in the folder, with links followed.

    A link may lead to another file of the folder, or from a snapshot of Hugging Face's cache to its blobs.

    Raises:
        InputError: when the name is not that of a file in the folder itself, or a link leads out of it.
    """
    if not name or name in (".", "..") or any(sign in name for sign in "/\\\0"):
        raise InputError(what, folder, f"a folder that contains its files, not {name!r}")
    try:
        home, path = folder.resolve(), (folder / name).resolve()
        path.is_file()
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # links in a circle, or a name that is too long or not text
        raise InputError(what, folder, f"a folder whose {name[:80]!r} can be read") from error
    blobs = home.parent.parent / "blobs"
    if path.parent != home and not (home.parent.name == "snapshots" and path.parent == blobs):
        raise InputError(
            what, folder, f"a folder that contains its files, but {name} is a link that leads out of it"
        )
    return path


def read_json(folder: Path, name: str, what: str) -> dict[str, Any]:
    """Read one JSON object of the folder.

    Raises:
        InputError: when it is missing or broken.
    """
    try:
        content = document(inside(folder, name, what))
    except FileNotFoundError:
        allowed = f"a folder in the Hugging Face layout, but it has no {name}"
        raise InputError(what, folder, allowed) from None
    except (OSError, NotJson) as error:
        reason = getattr(error, "strerror", None) or error
        allowed = f"one whose {name} is readable JSON ({reason}); download it again"
        raise InputError(what, folder, allowed) from error
    if not isinstance(content, dict):
        raise InputError(what, folder, f"one whose {name} is a JSON object")
    return content


def has(folder: Path, name: str, what: str) -> bool:
    """Say whether the folder has a file of this name."""
    return inside(folder, name, what).is_file()


def shard_names(folder: Path, what: str) -> list[str]:
    """Return the names of the weight files: those in the index, or the only one.

    Raises:
        InputError: when the index names none, or one outside of the folder.
    """
    if not has(folder, INDEX, what):
        return [WEIGHTS]
    stored = read_json(folder, INDEX, what).get("weight_map")
    if not isinstance(stored, dict) or not all(isinstance(name, str) for name in stored.values()):
        raise InputError(
            what, folder, f"complete, but weight_map in {INDEX} names no files; download it again"
        )
    names = sorted({*stored.values()})
    for name in names:
        inside(folder, name, what)
    return names


def shards(folder: Path, what: str) -> list[Path]:
    """Return the weight files of a checkpoint.

    Raises:
        InputError: when one that the index names is missing or leads out of the folder, or there is none.
    """
    names = shard_names(folder, what)
    missing = [name for name in names if not has(folder, name, what)]
    if not has(folder, INDEX, what) and missing:
        raise InputError(
            what, folder, f"complete, but it has neither {WEIGHTS} nor {INDEX}; download it again"
        )
    if missing or not names:
        lacks = f"it lacks {len(missing)} of {len(names)} shards, {missing[:1]}"
        raise InputError(what, folder, f"complete, but {lacks}; download them again")
    return [inside(folder, name, what) for name in names]


def digest(folder: Path, what: str) -> str:
    """Return the SHA-256 of the names and contents of all loadable files of the folder.

    Raises:
        InputError: when one cannot be read.
    """
    found = []
    names = [*TOKENIZER, *OTHERS, *shard_names(folder, what)] if folder.is_dir() else []
    for name in sorted({*names}):
        path = inside(folder, name, what)
        if path.is_file():
            try:
                with path.open("rb") as file:
                    found.append((name, hashlib.file_digest(file, "sha256").hexdigest()))
            except OSError as error:
                raise InputError(
                    what, folder, f"complete, but {name} cannot be read ({error.strerror})"
                ) from error
    return hashlib.sha256(repr(found).encode()).hexdigest()


@contextlib.contextmanager
def tokenizer_view(folder: Path, what: str) -> Iterator[Path]:
    """Yield a folder with only the files of the tokenizer.

    Raises:
        InputError: when one is too large for a tokenizer.
    """
    names = [name for name in TOKENIZER if has(folder, name, what)]
    for name in names:
        if inside(folder, name, what).stat().st_size > MOST_BYTES:
            raise InputError(what, folder, f"one whose {name} has at most {MOST_BYTES / 1e6:.0f} MB")
    with _view({name: inside(folder, name, what) for name in names}) as view:
        yield view


@contextlib.contextmanager
def _view(files: dict[str, Path]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fpo-jax-") as name:
        for link, path in files.items():
            (Path(name) / link).symlink_to(path)
        yield Path(name)
