"""What `make` installs is pinned and hashed, and is what pyproject.toml asks for."""

import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.helpers import ROOT

SETS = {"oldest": "3.11", "newest": "3.13"}
"""With the Python that tests each."""
LOCKS = sorted(ROOT.glob("locks/**/*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# What `make` installs for an extra: these locks on top of each other.
LAYERS = {
    "": ["runtime"],
    "dev": ["runtime", "dev"],
    "notebooks": ["runtime", "notebooks"],
    "docs": ["runtime", "docs"],
    "llm": ["runtime", "dev", "llm"],
    "llm-test": ["runtime", "dev", "llm", "torch"],
}
ABANDONED = {"hf-transfer", "promise", "toml"}


def pins(*paths):
    """Pinned versions by name, for the Python that is tested; every line is a comment, a pin or a hash."""
    found = {}
    for path in paths:
        entries = re.sub(r"\\\n", "", path.read_text(encoding="utf-8")).splitlines()
        for entry in (line for line in entries if line and not line.lstrip().startswith("#")):
            pin, *hashes = entry.split(" --hash=")
            requirement = Requirement(pin)
            (specifier,) = requirement.specifier
            assert specifier.operator == "==", entry
            assert "*" not in specifier.version, entry
            assert requirement.url is None
            assert hashes, f"{path}: {requirement.name} has no hash"
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}\s*", one) for one in hashes), entry
            python = SETS.get(path.parent.name, "3.11")
            its = {"python_version": python, "python_full_version": f"{python}.0"}
            if not requirement.marker or requirement.marker.evaluate(its):
                assert found.setdefault(requirement.name, specifier.version) == specifier.version, entry
    return found


def layered(versions, extra):
    return pins(*(ROOT / "locks" / versions / f"{layer}.txt" for layer in LAYERS[extra]))


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: str(path.relative_to(ROOT / "locks")))
def test_every_pin_has_hashes_and_no_file_names_an_index(path):
    assert pins(path)
    assert "://" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("versions", SETS)
def test_a_package_has_one_version_in_all_locks_that_are_installed_together(versions):
    folder = ROOT / "locks" / versions
    assert {path.stem for path in folder.iterdir()} == {
        layer for names in LAYERS.values() for layer in names
    } | {
        "torch-cpu",
        "cuda12",
        "cuda13",
    }
    pins(*(folder / f"{name}.txt" for name in ("runtime", "dev", "notebooks", "docs", "llm", "torch")))
    for cuda in ("cuda12", "cuda13"):
        found = pins(*(folder / f"{name}.txt" for name in ("runtime", "dev", cuda)))
        assert found[f"jax-{cuda}-plugin"] == found[f"jax-{cuda}-pjrt"] == found["jaxlib"]


@pytest.mark.parametrize("extra", LAYERS)
@pytest.mark.parametrize("versions", SETS)
def test_locks_have_all_that_is_asked_for_in_versions_that_are_allowed(versions, extra):
    extras = PROJECT["project"]["optional-dependencies"]
    assert set(LAYERS) == {"", *extras}
    asked = PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"] + extras.get(extra, [])
    found = layered(versions, extra)
    for requirement in map(Requirement, asked):
        if requirement.name != "fpo-jax":
            name = canonicalize_name(requirement.name)
            assert requirement.specifier.contains(found[name]), f"{requirement} is pinned at {found[name]}"


@pytest.mark.parametrize("extra", LAYERS)
def test_locks_have_what_packages_need_of_each_other(extra):
    found = layered("oldest" if sys.version_info < (3, 12) else "newest", extra)
    installed = {canonicalize_name(one.name): one for one in importlib.metadata.distributions()}
    if "torch" not in found:  # which has a lock of its own, and accelerate needs it
        found.pop("accelerate", None)
    at_hand = [
        name for name, version in found.items() if name in installed and installed[name].version == version
    ]
    assert at_hand
    for requirement in (Requirement(text) for name in at_hand for text in installed[name].requires or []):
        needed = canonicalize_name(requirement.name)
        if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
            assert requirement.specifier.contains(found[needed]), (
                f"{requirement} is pinned at {found[needed]}"
            )


@pytest.mark.parametrize("versions", SETS)
def test_what_nobody_maintains_is_left_out(versions):
    for path in (ROOT / "locks" / versions).iterdir():
        assert not ABANDONED & set(pins(path))


def test_versions_that_are_chosen_by_hand_are_those_of_the_locks():
    chosen = (ROOT / "locks/oldest.in").read_text(encoding="utf-8").split("\n", 1)[1].split()
    found = layered("oldest", "llm")
    assert {line.split("==")[0]: found[line.split("==")[0]] for line in chosen} == dict(
        line.split("==") for line in chosen
    )
    for versions in SETS:
        (torch,) = pins(ROOT / "locks" / versions / "torch-cpu.txt").items()
        assert torch == ("torch", layered(versions, "llm-test")["torch"] + "+cpu")


def tiny_wheel(folder, version="1.0"):
    """Write a wheel of one module, and return its SHA-256."""
    wheel, about = folder / f"tiny-{version}-py3-none-any.whl", f"tiny-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", f"VERSION = {version!r}\n")
        metadata = f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n"
        archive.writestr(f"{about}/METADATA", metadata)
        kind = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{about}/WHEEL", kind)
        archive.writestr(f"{about}/RECORD", "")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


@pytest.fixture
def make(tmp_path):
    """`make` of a target with these locks, by name, where pip finds files in one folder alone."""
    pip = tmp_path / "venv/bin/pip"
    pip.parent.mkdir(parents=True)
    install = f'exec {sys.executable} -m pip "$@" --target {tmp_path}/installed'
    # The project itself, which is installed last, is left out.
    pip.write_text(f'#!/bin/sh\n[ "${{*%-e .}}" != "$*" ] || {install}\n', encoding="utf-8")
    pip.chmod(0o755)
    for name in ("pyproject.toml", "venv/created"):
        (tmp_path / name).touch()

    def run(target, locks, *options):
        for name, lock in locks.items():
            (tmp_path / f"{name}.txt").write_text(lock, encoding="utf-8")
        return subprocess.run(
            ["make", "-f", ROOT / "Makefile", "VENV=venv", "LOCKS=.", *options, target],
            cwd=tmp_path,
            env=os.environ
            | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull},
            capture_output=True,
            text=True,
            encoding="utf-8",
        )

    run.folder, run.installed = tmp_path, tmp_path / "installed/tiny.py"
    return run


def lock_of(sha256, version="1.0"):
    return f"tiny=={version} --hash=sha256:{sha256}\n"


def test_make_refuses_a_file_whose_hash_is_not_in_the_lock(make):
    tiny_wheel(make.folder)
    made = make("install", {"runtime": lock_of("0" * 64)})
    assert made.returncode != 0
    assert "DO NOT MATCH THE HASHES" in made.stderr
    assert not make.installed.exists()
    assert not (make.folder / "venv/runtime").exists()


def test_make_installs_a_file_whose_hash_is_in_the_lock(make):
    made = make("install", {"runtime": lock_of(tiny_wheel(make.folder))})
    assert made.returncode == 0, made.stderr
    assert make.installed.exists()
    assert (make.folder / "venv/runtime").exists()


FOR_CPU = {
    "right": "1.0+cpu",
    "of another hash": None,
    "not there": "0.9",
    "not there, with constraints": "0.9",
}
"""PyTorch for the CPU as pip finds it, and which version is installed then, if any."""


@pytest.mark.parametrize("found", FOR_CPU)
def test_another_lock_is_taken_only_where_the_index_has_no_such_version(make, found, monkeypatch):
    locks = {"llm": "# nothing\n", "torch": lock_of(tiny_wheel(make.folder, "0.9"), "0.9")}
    sha256 = tiny_wheel(make.folder, "1.0+cpu") if not found.startswith("not") else "0" * 64
    locks["torch-cpu"] = lock_of("0" * 64 if found == "of another hash" else sha256, "1.0+cpu")
    if found.endswith("constraints"):  # then pip says otherwise what it does not find
        monkeypatch.setenv("PIP_CONSTRAINT", str(make.folder / "constraints"))
        (make.folder / "constraints").write_text("tiny<2", encoding="utf-8")
    made = make("venv/llm", locks, "-o", "venv/dev")
    expected = FOR_CPU[found]
    assert (made.returncode == 0) == (make.folder / "venv/llm").exists() == (expected is not None), (
        made.stderr
    )
    if expected is None:
        assert "DO NOT MATCH THE HASHES" in made.stderr
        assert not make.installed.exists()
    else:
        assert make.installed.read_text(encoding="utf-8") == f"VERSION = {expected!r}\n"
